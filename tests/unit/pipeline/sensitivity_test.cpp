#include "pipeline/sensitivity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <tuple>

#include "pipeline/divergence.h"
#include "plan/picks.h"
#include "teeny/core/error.h"
#include "teeny/family/tokenizer_source.h"

namespace teeny {
namespace {

const std::string kModel = TEENY_TEST_SOURCE_DIR "/configs/models/teeny-demo-7m";

class SensitivityTest : public ::testing::Test {
 protected:
  Calibration text(int64_t samples, int64_t length) { return load_calibration({kModel + "/calibration.txt", samples, length, 0}, *load_tokenizer(*source_), nullptr, context_); }
  Sensitivity measure(const std::string& method, const std::string& format, std::vector<std::string> candidates, const HeldBack& text, int threads = 2) {
    QuantizeOptions options;
    options.model = kModel, options.method = method, options.format = format, options.candidates = std::move(candidates);
    Context context;
    context.threads = threads;
    return measure_sensitivity(*source_, plan_with(*source_, spec_, options, {}), options, text, {}, context);
  }
  static const CandidateLoss& loss(const SensitivityGroup& group, const std::string& label) {
    for (const auto& c : group.candidates)
      if (c.label == label) return c;
    throw std::runtime_error(group.name + " has no " + label);
  }

  std::unique_ptr<TensorSource> source_ = open_source(kModel);
  ModelSpec spec_ = read_spec(*source_);
  Context context_;
};

TEST_F(SensitivityTest, TextIsHeldBackFromFitting) {
  const auto window = [](int32_t first, int32_t n) {
    std::vector<int32_t> w;
    for (int32_t i = 0; i < n; ++i) w.push_back(first + i);
    return w;
  };
  Calibration long_windows, short_windows, one;
  for (int32_t i = 0; i < 26; ++i) long_windows.windows.push_back(window(i * 2048, 2048)), short_windows.windows.push_back(window(i * 128, 128));
  one.windows.push_back(window(0, 100));
  for (const auto& [calibration, pieces, length] : {std::tuple{&long_windows, 8u, 512u}, {&short_windows, 13u, 128u}, {&one, 1u, 50u}}) {
    const HeldBack held = hold_back(*calibration, 4096);
    EXPECT_EQ(held.judged.size(), pieces);
    std::set<int32_t> judged, all;
    for (const auto& w : held.judged) {
      EXPECT_EQ(w.size(), length);
      judged.insert(w.begin(), w.end());
    }
    all = judged;
    for (const auto& w : held.fit.windows)
      for (const int32_t t : w) {
        EXPECT_FALSE(judged.count(t));
        all.insert(t);
      }
    EXPECT_EQ(int64_t(all.size()), calibration->tokens());  // nothing is lost
  }
  Calibration nothing;
  nothing.source = "short.txt", nothing.windows.push_back({1, 2});
  EXPECT_THROW(hold_back(nothing, 4096), Error);
}

TEST_F(SensitivityTest, AModelLosesNothingAgainstItself) {
  const HeldBack held = hold_back(text(4, 128), 256);
  const auto none = compare_models(*source_, *source_, held.judged, context_);
  EXPECT_EQ(none.kld, 0);
  EXPECT_EQ(none.nll, 0);
}

// Three candidates are run for each weight, the others interpolated along the error of the outputs. What these really lose is
// measured by giving them alone: then all are run.
TEST_F(SensitivityTest, InterpolatedLossesAreNearMeasuredOnes) {
  const HeldBack held = hold_back(text(8, 128), 512);
  const Sensitivity some = measure("gguf", "", {}, held), all = measure("gguf", "", {"Q3_K", "Q5_K", "Q6_K"}, held);
  ASSERT_EQ(some.groups.size(), 57u);
  for (const char* label : {"q3_k", "q5_k", "q6_k"}) {
    double interpolated = 0, measured = 0, logs = 0;
    for (size_t g = 0; g < some.groups.size(); ++g) {
      ASSERT_EQ(some.groups[g].name, all.groups[g].name);
      const auto a = loss(some.groups[g], label), b = loss(all.groups[g], label);
      EXPECT_FALSE(a.measured);
      EXPECT_TRUE(b.measured);
      interpolated += a.kld, measured += b.kld;
      logs += std::pow(std::log(a.kld / b.kld), 2);
    }
    EXPECT_NEAR(interpolated / measured, 1, 0.15) << label;
    EXPECT_LT(std::sqrt(logs / double(some.groups.size())), 0.4) << label;  // by weight
  }
  // Losses fall with bits, and the whole model's is near the sum of its weights'.
  for (const auto& group : some.groups) {
    EXPECT_GT(loss(group, "q2_k").kld, loss(group, "q4_k").kld) << group.name;
    EXPECT_GT(loss(group, "q4_k").kld, loss(group, "q6_k").kld) << group.name;
    EXPECT_GT(loss(group, "q6_k").kld, loss(group, "q8_0").kld) << group.name;
    EXPECT_EQ(loss(group, "plain").kld, 0);
  }
  ASSERT_EQ(some.checks.size(), 3u);
  EXPECT_NEAR(some.checks[0].measured / some.checks[0].predicted, 1, 0.35) << some.checks[0].label;
  EXPECT_NEAR(some.checks[1].measured / some.checks[1].predicted, 1, 0.35) << some.checks[1].label;
}

TEST_F(SensitivityTest, ThreadsDoNotMatter) {
  const HeldBack held = hold_back(text(4, 64), 128);
  for (const auto& [method, format, candidate] : {std::tuple{"gguf", "", "Q4_K"}, {"gptq", "gguf", "Q4_K"}, {"rtn", "compressed-tensors", "8"}})
    EXPECT_EQ(dump_json(sensitivity_json(measure(method, format, {candidate}, held, 1))), dump_json(sensitivity_json(measure(method, format, {candidate}, held, 2)))) << method << " " << format;
}

}  // namespace
}  // namespace teeny
