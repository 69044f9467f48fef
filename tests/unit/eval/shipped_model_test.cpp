// The shipped model through the real runner and the real judge, against figures that transformers gave.
#include <gtest/gtest.h>

#include <chrono>

#include "eval/windows.h"
#include "schema.h"
#include "teeny/core/error.h"
#include "teeny/eval/eval.h"
#include "teeny/judge/judge.h"

namespace teeny {
namespace {

class SlowShippedModel : public ::testing::Test {
 protected:
  void SetUp() override {
    options.model = shipped_model_directory();
    reference = read_json_file(std::string(TEENY_TEST_SOURCE_DIR) + "/tests/data/reference.json", "test");
  }
  Json run() {
    Context context;
    const Json record = run_eval(options, context);
    EXPECT_EQ(testing::Schema::results().explain(record), "");
    return record;
  }
  EvalOptions options;
  Json reference;
};

TEST_F(SlowShippedModel, PerplexityIsTheReferences) {
  options.tasks = {"ppl"};
  const Json task = run()["eval"]["tasks"][0];
  EXPECT_NEAR(task["value"].get<double>(), reference["ppl_fp32_ctx512_nonoverlapping_no_bos"].get<double>(), 5e-4);
  EXPECT_EQ(task["details"]["text_tokens"], reference["eval_tokens"]);
  EXPECT_LT(task["ci95"][0].get<double>(), task["value"].get<double>());
  EXPECT_GT(task["ci95"][1].get<double>(), task["value"].get<double>());
}

// 1.73308: llama-perplexity (2026-07) on the F32 file of this model, special tokens of the text parsed.
TEST_F(SlowShippedModel, PerplexityByLlamaCppsProtocolIsItsFigure) {
  options.tasks = {"ppl"};
  options.ppl_protocol = "llama.cpp";
  const Json task = run()["eval"]["tasks"][0];
  EXPECT_NEAR(task["value"].get<double>(), 1.73308, 5e-4);
  EXPECT_EQ(task["details"]["protocol"], "llama.cpp");
}

TEST_F(SlowShippedModel, DivergenceFromItselfIsZero) {
  options.tasks = {"ppl", "kld"};
  options.reference = options.model;
  options.ctx = 256;
  options.limit = 6;
  const Json record = run();
  EXPECT_EQ(record["eval"]["tasks"][1]["value"], 0.0);
  EXPECT_EQ(record["eval"]["tasks"][1]["details"]["top1_agreement"], 1.0);
  EXPECT_EQ(record["eval"]["comparison"][0]["difference"], 0.0);
}

TEST_F(SlowShippedModel, DemoCodeIsTheReferences) {
  options.tasks = {"demo-code"};
  const Json record = run();
  for (const auto& [at, key, n] : {std::tuple{0, "pass_at_1_python_greedy_fp32", 164}, std::tuple{1, "pass_at_1_js_greedy_fp32", 100}}) {
    const Json& task = record["eval"]["tasks"][size_t(at)];
    if (task["value"].is_null()) {
      GTEST_SKIP() << task["name"] << " was not run: " << task["not_run"];
    }
    EXPECT_EQ(task["n"], n);
    EXPECT_NEAR(task["value"].get<double>(), reference[key].get<double>(), 1.01 / n) << task["name"];
  }
}

}  // namespace
}  // namespace teeny
