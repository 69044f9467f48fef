#include <cmath>

#include "eval_fixture.h"

namespace teeny {
namespace {

class TextTasks : public testing::EvalTest {
 protected:
  // Probability 1/2 for the byte 'a', the rest shared by the other 255 bytes.
  static Tensor favour_a(const std::vector<int32_t>& window) {
    Tensor logits = at::zeros({int64_t(window.size()), 256}, at::kFloat);
    logits.select(1, 'a').fill_(std::log(255.0f));
    return logits;
  }
  static Tensor uniform(const std::vector<int32_t>& window) { return at::zeros({int64_t(window.size()), 256}, at::kFloat); }
};

TEST_F(TextTasks, PerplexityOfAUniformModelIsTheVocabulary) {
  options.tasks = {"ppl"};
  options.text = file("text.txt", std::string(8 * 5 + 3, 'x'));
  prepare = [](const std::string&, testing::FakeRunner& r) { r.logits = uniform; };
  const Json record = run();
  const Json& task = record["eval"]["tasks"][0];
  EXPECT_EQ(record["status"], "ok");
  EXPECT_NEAR(task["value"].get<double>(), 256, 1e-3);
  EXPECT_NEAR(task["stderr"].get<double>(), 0, 1e-9);
  EXPECT_EQ(task["n"], 5 * 7);  // the incomplete sixth window is dropped, and the first token of a window is not scored
  EXPECT_EQ(task["per_item"].size(), 5u);
  EXPECT_EQ(task["details"]["protocol"], "windows");
  EXPECT_EQ(task["details"]["text_sha256"], sha256_hex(std::string(43, 'x')));
  EXPECT_EQ(record["model"]["path"], "model");
}

TEST_F(TextTasks, PerplexityAndItsErrorByHand) {
  options.tasks = {"ppl"};
  options.text = file("text.txt", std::string(8, 'a') + std::string(8, 'b'));
  prepare = [](const std::string&, testing::FakeRunner& r) { r.logits = favour_a; };
  const Json record = run();
  const Json& task = record["eval"]["tasks"][0];
  const double a = std::log(2.0), b = std::log(510.0), ppl = std::exp((a + b) / 2);
  EXPECT_NEAR(task["per_item"][0].get<double>(), a, 1e-6);
  EXPECT_NEAR(task["per_item"][1].get<double>(), b, 1e-5);
  EXPECT_NEAR(task["value"].get<double>(), ppl, 1e-4);
  const double error_of_mean = (b - a) / std::sqrt(2.0) / std::sqrt(2.0);  // sd of two / sqrt(2)
  EXPECT_NEAR(task["stderr"].get<double>(), ppl * error_of_mean, 1e-3);
  EXPECT_NEAR(task["ci95"][0].get<double>(), 2, 1e-4);  // the resample that drew window a twice
  EXPECT_NEAR(task["ci95"][1].get<double>(), 510, 1e-1);
}

TEST_F(TextTasks, LlamaCppProtocolScoresTheSecondHalf) {
  options.tasks = {"ppl"};
  options.ppl_protocol = "llama.cpp";
  options.text = file("text.txt", "bbbbbaaabbbbbaaa");  // of eight tokens, positions 4 .. 6 predict tokens 5 .. 7
  prepare = [](const std::string&, testing::FakeRunner& r) { r.logits = favour_a; };
  const Json record = run();
  const Json& task = record["eval"]["tasks"][0];
  EXPECT_EQ(task["n"], 2 * 3);
  EXPECT_NEAR(task["value"].get<double>(), 2, 1e-5);
  EXPECT_EQ(task["details"]["protocol"], "llama.cpp");
}

TEST_F(TextTasks, PerplexityAndDivergenceShareOnePass) {
  options.tasks = {"ppl", "kld"};
  options.reference = "reference";
  options.text = file("text.txt", std::string(8 * 3, 'a'));
  int passes[2] = {};
  prepare = [&](const std::string& path, testing::FakeRunner& r) {
    const bool reference = path == "reference";
    r.logits = [&passes, reference](const std::vector<int32_t>& w) {
      ++passes[reference];
      return reference ? favour_a(w) : uniform(w);
    };
  };
  const Json record = run();
  EXPECT_EQ(passes[0], 3);
  EXPECT_EQ(passes[1], 3);
  const Json& kld = record["eval"]["tasks"][1];
  const double expected = 0.5 * std::log(0.5 * 256) + 0.5 * std::log(256.0 / 510);
  EXPECT_EQ(kld["name"], "kld");
  EXPECT_NEAR(kld["value"].get<double>(), expected, 1e-6);
  EXPECT_EQ(kld["n"], 3 * 7);
  EXPECT_NEAR(kld["details"]["max"].get<double>(), expected, 1e-6);
  EXPECT_NEAR(kld["details"]["median"].get<double>(), expected, 1e-6);
  EXPECT_EQ(kld["details"]["top1_agreement"], 0);  // the uniform model ranks token 0 first
  const Json& comparison = record["eval"]["comparison"][0];
  EXPECT_EQ(comparison["task"], "ppl");
  EXPECT_NEAR(comparison["difference"].get<double>(), 256 - 2, 1e-2);
  EXPECT_NEAR(comparison["details"]["reference_value"].get<double>(), 2, 1e-5);
}

TEST_F(TextTasks, SeveralModelsShareOnePassOverTheReference) {
  options.tasks = {"ppl", "kld"};
  options.reference = "reference";
  options.also = {"second", "third"};
  options.text = file("text.txt", std::string(8 * 3, 'a') + std::string(8 * 2, 'b'));
  std::map<std::string, int> passes;
  prepare = [&](const std::string& path, testing::FakeRunner& r) {
    r.logits = [&passes, path](const std::vector<int32_t>& w) {
      ++passes[path];
      return path == "model" || path == "third" ? uniform(w) : favour_a(w);
    };
  };
  const Json record = run();
  EXPECT_EQ(passes, (std::map<std::string, int>{{"model", 5}, {"second", 5}, {"third", 5}, {"reference", 5}}));
  ASSERT_EQ(record["variants"].size(), 2u);
  const Json &second = record["variants"][0], &third = record["variants"][1];
  EXPECT_EQ(record["model"]["path"], "model");
  EXPECT_EQ(second["model"]["path"], "second");
  EXPECT_EQ(second["eval"]["tasks"][1]["value"], 0.0);  // the same logits as the reference's
  EXPECT_EQ(third["eval"]["tasks"][1]["value"], record["eval"]["tasks"][1]["value"]);
  EXPECT_EQ(third["eval"]["tasks"][0]["per_item"], record["eval"]["tasks"][0]["per_item"]);
  // Alone, each gives the same figures; p is corrected for all three.
  const double p = record["eval"]["comparison"][0]["p"];
  EXPECT_DOUBLE_EQ(record["eval"]["comparison"][0]["p_holm"], std::min(1.0, 3 * p));
  options.also.clear();
  const Json alone = run();
  EXPECT_FALSE(alone.contains("variants"));
  for (const char* key : {"value", "ci95", "per_item"})
    for (const size_t task : {0, 1}) EXPECT_EQ(alone["eval"]["tasks"][task][key], record["eval"]["tasks"][task][key]) << key;
  EXPECT_DOUBLE_EQ(alone["eval"]["comparison"][0]["p_holm"], p);
}

TEST_F(TextTasks, WarningsStandInTheRecordOfTheirModel) {
  options.tasks = {"ppl"};
  options.also = {"second"};
  options.text = file("text.txt", std::string(8 * 2, 'a'));
  prepare = [](const std::string& path, testing::FakeRunner& r) {
    r.logits = [path](const std::vector<int32_t>& w) { return path == "second" ? uniform(w).fill_(std::numeric_limits<float>::quiet_NaN()) : uniform(w); };
  };
  const Json record = run();
  EXPECT_TRUE(record["warnings"].empty());
  EXPECT_EQ(record["variants"][0]["warnings"][0]["code"], "non-finite-logits");
  options.also = {"model"};
  EXPECT_NE(error_of(ErrorKind::Usage).find("twice"), std::string::npos);
  options.also = {"second"};
  options.save_completions = folder + "/x.jsonl";
  EXPECT_NE(error_of(ErrorKind::Usage).find("--save-completions"), std::string::npos);
}

TEST_F(TextTasks, AModelDivergesFromItselfByZero) {
  options.tasks = {"kld"};
  options.reference = options.model;
  options.text = file("text.txt", std::string(8 * 3, 'a'));
  prepare = [](const std::string&, testing::FakeRunner& r) { r.logits = favour_a; };
  const Json record = run();
  const Json& kld = record["eval"]["tasks"][0];
  EXPECT_EQ(kld["value"], 0.0);
  EXPECT_EQ(kld["details"]["top1_agreement"], 1.0);
}

TEST_F(TextTasks, NonFiniteLogitsGiveNoValueAndAWarning) {
  options.tasks = {"ppl"};
  options.text = file("text.txt", std::string(8 * 2, 'a'));
  prepare = [](const std::string&, testing::FakeRunner& r) {
    r.logits = [](const std::vector<int32_t>& w) { return uniform(w).fill_(std::numeric_limits<float>::quiet_NaN()); };
  };
  const Json record = run();
  EXPECT_TRUE(record["eval"]["tasks"][0]["value"].is_null());
  EXPECT_EQ(record["eval"]["tasks"][0]["not_run"], "the logits of 2 of 2 windows are not finite");
  EXPECT_EQ(record["warnings"][0]["code"], "non-finite-logits");
}

TEST_F(TextTasks, UsageErrorsComeBeforeAnyModel) {
  options.tasks = {"ppl", "nonsense"};
  EXPECT_NE(error_of(ErrorKind::Usage).find("demo-code"), std::string::npos);
  options.tasks = {"kld"};
  EXPECT_NE(error_of(ErrorKind::Usage).find("--reference"), std::string::npos);
  options.tasks = {"ppl"};
  options.fail_if_loss = 1;
  EXPECT_NE(error_of(ErrorKind::Usage).find("--fail-if-loss"), std::string::npos);
  EXPECT_TRUE(loads.empty());
  options.fail_if_loss = -1;
  EXPECT_NE(error_of(ErrorKind::Usage).find("--text"), std::string::npos);  // no text belongs to this tokenizer
  options.text = file("short.txt", "abc");
  EXPECT_NE(error_of(ErrorKind::Input).find("has 3 tokens"), std::string::npos);
}

}  // namespace
}  // namespace teeny
