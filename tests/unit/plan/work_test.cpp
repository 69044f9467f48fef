// Counted work: what grows with what, and that nothing but shapes and options decides it.
#include "teeny/plan/work.h"

#include <gtest/gtest.h>

#include "teeny/core/error.h"

namespace teeny {
namespace {

Plan plan_of(int64_t hidden, int64_t layers, const std::string& method) {
  Plan plan;
  plan.spec.hidden = hidden, plan.spec.layers = layers, plan.spec.heads = hidden / 64, plan.spec.kv_heads = hidden / 128, plan.spec.head_dim = 64;
  plan.spec.intermediate = 3 * hidden, plan.spec.vocab = 32000;
  plan.method = method, plan.group = 128, plan.calibrated = method != "rtn";
  return plan;
}

double work(const Plan& plan, const QuantizeOptions& options, bool self = false) { return count_work(plan, options, self).total(); }

TEST(Work, GrowsWithTheModelAndTheText) {
  QuantizeOptions options;
  for (const char* method : {"gptq", "awq"}) {
    const double one = work(plan_of(1024, 8, method), options);
    EXPECT_NEAR(work(plan_of(1024, 16, method), options), 2 * one, 0.01 * one) << method;  // blocks are alike
    // Passes over the inputs double with the width, products grow fourfold, factors eightfold; wide models are products.
    const double wide = work(plan_of(8192, 8, method), options) / work(plan_of(4096, 8, method), options);
    EXPECT_GT(wide, 3.5) << method;
    EXPECT_LT(wide, 8) << method;
    QuantizeOptions shorter = options;
    shorter.samples /= 4;
    EXPECT_LT(work(plan_of(1024, 8, method), shorter), one) << method;
    EXPECT_GT(work(plan_of(1024, 8, method), options, true), 1.2 * one) << method;
  }
  EXPECT_LT(work(plan_of(1024, 8, "rtn"), options), 0.01 * work(plan_of(1024, 8, "gptq"), options));
}

TEST(Work, SecondsFollowTheSpeedOfTheMachine) {
  const Work counted = count_work(plan_of(1024, 8, "gptq"), {}, false);
  EXPECT_NEAR(expected_seconds(counted, {1e11}) / expected_seconds(counted, {2e11}), 2, 0.01);
  EXPECT_GT(measure_speed(1).flops, 1e8);
}

TEST(Work, TextThatNobodyAskedForMayTakeFiveMinutes) {
  QuantizeOptions options;
  EXPECT_NO_THROW(check_self_calibration(options, "m", 299));
  EXPECT_THROW(check_self_calibration(options, "m", 301), Error);
  options.calibration = "self";
  EXPECT_NO_THROW(check_self_calibration(options, "m", 1e6));
}

}  // namespace
}  // namespace teeny
