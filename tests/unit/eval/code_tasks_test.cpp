#include <cmath>

#include "eval/programs.h"
#include "eval_fixture.h"
#include "teeny/stats/intervals.h"
#include "teeny/text/dataset.h"

namespace teeny {
namespace {

class CodeTasks : public testing::EvalTest {
 protected:
  void SetUp() override {
    EvalTest::SetUp();
    options.tasks = {"humaneval"};
    std::string set;
    for (int i = 0; i < 10; ++i)
      set += dump_json({{"task_id", "T/" + std::to_string(i)}, {"prompt", "def f" + std::to_string(i) + "():\n"}, {"entry_point", "f" + std::to_string(i)},
                        {"canonical_solution", "    return " + std::to_string(i) + "\n"}, {"test", "def check(candidate):\n    assert candidate() == " + std::to_string(i) + "\n"}}, -1);
    options.data = file("set.jsonl", set);
    prepare = [this](const std::string& path, testing::FakeRunner& r) {
      for (int i = 0; i < 10; ++i)
        r.answers["def f" + std::to_string(i) + "():\n"] = i < (path == "reference" ? reference_right : right) ? "    return " + std::to_string(i) + "\n" : wrong;
    };
  }
  int right = 6, reference_right = 9;
  std::string wrong = "    return None\n";
};

TEST_F(CodeTasks, PassAtOneWithWilsonAndCategories) {
  const Json record = run();
  const Json& task = record["eval"]["tasks"][0];
  EXPECT_EQ(task["metric"], "pass@1");
  EXPECT_DOUBLE_EQ(task["value"], 0.6);
  EXPECT_EQ(task["n"], 10);
  EXPECT_NEAR(task["stderr"].get<double>(), std::sqrt(0.6 * 0.4 / 10), 1e-12);
  EXPECT_NEAR(task["ci95"][0].get<double>(), 0.3127, 1e-4);  // Wilson, 6 of 10
  EXPECT_NEAR(task["ci95"][1].get<double>(), 0.8318, 1e-4);
  EXPECT_EQ(task["per_item"][0]["task_id"], "T/0");
  EXPECT_EQ(task["per_item"][0]["passed"], true);
  EXPECT_EQ(task["per_item"][9]["category"], "wrong answer");
  EXPECT_EQ(record["eval"]["errors"], Json({{"wrong answer", 4}}));
  EXPECT_EQ(record["eval"]["sandbox"]["tier"], "bubblewrap");
}

TEST_F(CodeTasks, ComparisonIsPaired) {
  options.reference = "reference";
  const Json record = run();
  const Json& c = record["eval"]["comparison"][0];
  EXPECT_NEAR(c["difference"].get<double>(), -0.3, 1e-12);
  EXPECT_EQ(c["test"], "mcnemar-exact");
  EXPECT_DOUBLE_EQ(c["p"], 0.25);  // three lost, none gained: 2 / 2^3
  EXPECT_DOUBLE_EQ(c["p_holm"], 0.25);
  EXPECT_EQ(c["lost"], Json({"T/6", "T/7", "T/8"}));
  EXPECT_TRUE(c["gained"].empty());
  EXPECT_EQ(c["details"]["cached"], false);
  EXPECT_NEAR(c["ci95"][0].get<double>(), -0.6032219, 1e-6);  // Tango's score interval: the exact test does not find a loss either
  EXPECT_NEAR(c["ci95"][1].get<double>(), 0.0607926, 1e-6);
}

TEST_F(CodeTasks, TheReferenceIsRunOnceForManyVariants) {
  options.reference = "reference";
  const Json first = run();
  right = 7;
  const Json second = run();
  EXPECT_EQ(loads["reference"], 1);
  EXPECT_EQ(loads["model"], 2);
  EXPECT_EQ(second["eval"]["comparison"][0]["details"]["cached"], true);
  EXPECT_NEAR(second["eval"]["comparison"][0]["difference"].get<double>(), -0.2, 1e-12);
  options.max_new_tokens = 7;  // another setting is another result
  run();
  EXPECT_EQ(loads["reference"], 2);
  tier = "unsandboxed";  // and so is another trust
  EXPECT_EQ(run()["eval"]["comparison"][0]["details"]["cached"], false);
}

TEST_F(CodeTasks, ADamagedCacheIsComputedAgain) {
  options.reference = "reference";
  run();
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/cache/eval")) write_file(entry.path().string(), "{\"key\": 1");
  const Json record = run();
  EXPECT_EQ(loads["reference"], 2);
  EXPECT_EQ(record["eval"]["comparison"][0]["details"]["cached"], false);
}

TEST_F(CodeTasks, ChecksFailAfterTheRecordIsComplete) {
  options.reference = "reference";
  right = 0;
  options.fail_if_loss = 20;
  Json record = run();
  EXPECT_EQ(record["status"], "check-failed");
  EXPECT_EQ(record["eval"]["details"]["check"]["passed"], false);
  EXPECT_EQ(record["warnings"].back()["code"], "check-failed");
  EXPECT_NE(record["eval"]["details"]["check"]["message"].get<std::string>().find("could have detected"), std::string::npos);
  EXPECT_EQ(record["eval"]["tasks"][0]["value"], 0.0);
  options.fail_if_loss = 99.5;
  EXPECT_EQ(run()["status"], "ok");
  options.fail_if_loss = -1;
  options.require_loss_below = 100.5;
  EXPECT_EQ(run()["status"], "ok");
  right = 9;  // nothing lost of ten: what was seen allows for a loss of z^2 / (10 + z^2)
  options.require_loss_below = 27;
  EXPECT_EQ(run()["status"], "check-failed");
  options.require_loss_below = 28;
  EXPECT_EQ(run()["status"], "ok");
  right = 8;  // one lost of ten: the loss may well be above 5 points
  options.require_loss_below = 5;
  EXPECT_EQ(run()["status"], "check-failed");
}

TEST_F(CodeTasks, EachOfSeveralModelsIsChecked) {
  options.reference = "reference";
  options.also = {"bad"};
  options.fail_if_loss = 20;
  options.equivalence_margin = 60;
  prepare = [this](const std::string& path, testing::FakeRunner& r) {
    for (int i = 0; i < 10; ++i) r.answers["def f" + std::to_string(i) + "():\n"] = path == "bad" ? wrong : "    return " + std::to_string(i) + "\n";
  };
  const Json record = run();
  EXPECT_EQ(loads["reference"], 1);
  EXPECT_EQ(record["status"], "ok");
  const Json& bad = record["variants"][0];
  EXPECT_EQ(bad["status"], "check-failed");
  EXPECT_TRUE(bad["warnings"].back()["message"].get<std::string>().starts_with("bad: humaneval: loss 100.00 points"));
  // Four claims: two differences, two equivalences.
  const Json &good = record["eval"]["comparison"][0], &lost = bad["eval"]["comparison"][0];
  EXPECT_DOUBLE_EQ(lost["p"], 2.0 / 1024);
  EXPECT_DOUBLE_EQ(lost["p_holm"], 3 * 2.0 / 1024);  // second of the four: the good one's equivalence is surer
  EXPECT_DOUBLE_EQ(good["p_holm"], 1);
  EXPECT_EQ(good["details"]["equivalence"]["equivalent"], true);
  EXPECT_EQ(lost["details"]["equivalence"]["equivalent"], false);
}

TEST_F(CodeTasks, ACheckThatCouldNotBeMadeHasNotPassed) {
  options.reference = "reference";
  options.fail_if_loss = 5;
  tier = "none";
  const Json record = run();
  EXPECT_EQ(record["status"], "check-failed");
}

TEST_F(CodeTasks, WithoutASandboxNothingRuns) {
  tier = "none";
  const Json record = run();
  const Json& task = record["eval"]["tasks"][0];
  EXPECT_EQ(record["status"], "ok");
  EXPECT_TRUE(task["value"].is_null());
  EXPECT_TRUE(task["not_run"].get<std::string>().starts_with("no sandbox"));
  EXPECT_TRUE(loads.empty());  // no model was needed
}

TEST_F(CodeTasks, DemoCodeRunsTheLanguagesThatCanRun) {
  options.tasks = {"demo-code"};
  options.limit = 4;
  node = false;
  const Json record = run();
  const Json& tasks = record["eval"]["tasks"];
  ASSERT_EQ(tasks.size(), 2u);
  EXPECT_EQ(tasks[0]["name"], "demo-code-python");
  EXPECT_EQ(tasks[0]["n"], 4);
  EXPECT_EQ(tasks[0]["value"], 0.0);
  EXPECT_EQ(tasks[0]["details"]["max_new_tokens"], 96);
  EXPECT_EQ(tasks[1]["name"], "demo-code-javascript");
  EXPECT_TRUE(tasks[1]["not_run"].get<std::string>().starts_with("no tools for js"));
  EXPECT_EQ(record["eval"]["errors"]["empty or truncated completion"], 4);
}

TEST_F(CodeTasks, WhatCannotBeJudgedIsLeftOut) {
  wrong = "cannot be judged";
  const Json record = run();
  const Json& task = record["eval"]["tasks"][0];
  EXPECT_EQ(task["n"], 6);
  EXPECT_EQ(task["value"], 1.0);
  EXPECT_EQ(task["per_item"].size(), 6u);
  EXPECT_EQ(task["details"]["not_judged"], Json({"T/6", "T/7", "T/8", "T/9"}));
}

TEST_F(CodeTasks, SavedCompletionsScoreTheSameWithoutAModel) {
  options.save_completions = folder + "/completions.jsonl";
  const double value = run()["eval"]["tasks"][0]["value"];
  const auto lines = read_jsonl(options.save_completions);
  ASSERT_EQ(lines.size(), 10u);
  EXPECT_EQ(lines[3], Json({{"task_id", "T/3"}, {"completion", "    return 3\n"}}));
  options.score_completions = options.save_completions;
  options.save_completions.clear();
  loads.clear();
  const Json record = run();
  EXPECT_EQ(record["eval"]["tasks"][0]["value"], value);
  EXPECT_FALSE(record.contains("model"));
  EXPECT_TRUE(loads.empty());
  options.tasks = {"ppl"};
  EXPECT_NE(error_of(ErrorKind::Usage).find("needs one"), std::string::npos);
}

TEST_F(CodeTasks, SeveralSamplesGivePassAtK) {
  // Scored from a file: problem 0 has 1 of 2 right, problem 1 has 2 of 2.
  std::string lines;
  for (const auto& [id, text] : {std::pair{"T/0", "    return 0\n"}, {"T/0", "no"}, {"T/1", "    return 1\n"}, {"T/1", "    return 1\n"}})
    lines += dump_json({{"task_id", id}, {"completion", text}}, -1);
  options.score_completions = file("two.jsonl", lines);
  options.pass_at = {1, 2};
  const Json record = run();
  const Json& task = record["eval"]["tasks"][0];
  EXPECT_DOUBLE_EQ(task["value"], 0.75);
  EXPECT_DOUBLE_EQ(task["details"]["pass@2"]["value"], 1.0);
  EXPECT_EQ(task["n"], 2);
  EXPECT_EQ(record["warnings"][0]["code"], "completions-missing");
  options.score_completions = file("bad.jsonl", "{\"task_id\": \"T/0\"}\n");
  EXPECT_NE(error_of(ErrorKind::Input).find("\"completion\""), std::string::npos);
}

TEST_F(CodeTasks, AbsentDataAndTasksAreSaid) {
  options.data.clear();
  EXPECT_NE(error_of(ErrorKind::Input).find("teeny doctor --fetch humaneval,"), std::string::npos);
  options.data = folder + "/nowhere";
  EXPECT_NE(error_of(ErrorKind::Input).find("nowhere"), std::string::npos);
  options.protocol = "instruct";
  options.data = file("again.jsonl", dump_json({{"task_id", "T/0"}, {"prompt", "def f():\n"}, {"entry_point", "f"}, {"test", "def check(c):\n    pass\n"}}, -1));
  EXPECT_NE(error_of(ErrorKind::Input).find("has no chat template"), std::string::npos);
}

// A file that says so holds answers of a chat model: their code is what is judged.
TEST_F(CodeTasks, SavedAnswersAreReadAsSuch) {
  std::string lines;
  for (int i = 0; i < 2; ++i)
    lines += dump_json({{"task_id", "T/" + std::to_string(i)}, {"completion", "So:\n```python\ndef f" + std::to_string(i) + "():\n    return 5\n```\n"}, {"protocol", "instruct"}}, -1);
  options.score_completions = file("answers.jsonl", lines);
  const Json task = run()["eval"]["tasks"][0];
  EXPECT_EQ(task["details"]["instruct"], true);
  EXPECT_TRUE(task["details"]["protocol"].get<std::string>().starts_with("instruct:"));
  EXPECT_EQ(judged.at(0).completion, "def f0():\n    return 5\n");
  EXPECT_TRUE(judged.at(0).whole);
  EXPECT_FALSE(judged.at(0).cut);
  options.protocol = "base";
  judged.clear();
  EXPECT_EQ(run()["eval"]["tasks"][0]["details"]["instruct"], false);
  EXPECT_FALSE(judged.at(0).whole);
}

TEST_F(CodeTasks, AnInterruptedRunGoesOn) {
  int generated = 0;
  prepare = [&](const std::string&, testing::FakeRunner& r) {
    for (int i = 0; i < 10; ++i) r.answers["def f" + std::to_string(i) + "():\n"] = "    return " + std::to_string(i) + "\n";
    r.total = &generated;
    r.stop_after = generated ? -1 : 4;  // the first run is interrupted after four completions
  };
  Context context;
  EXPECT_THROW(run_eval_with(options, context, services), std::exception);
  EXPECT_EQ(generated, 4);
  options.resume = true;
  const Json record = run();
  EXPECT_EQ(generated, 10);
  EXPECT_EQ(record["eval"]["tasks"][0]["value"], 1.0);
  EXPECT_EQ(record["eval"]["tasks"][0]["n"], 10);
  run();  // nothing was left: all are generated again
  EXPECT_EQ(generated, 20);
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/cache/eval")) EXPECT_EQ(entry.path().string().find("unfinished"), std::string::npos);
}

TEST_F(CodeTasks, EquivalenceIsTestedWhenAMarginIsGiven) {
  options.reference = "reference";
  options.equivalence_margin = 50;
  right = 9;
  const Json same = run()["eval"]["comparison"][0]["details"]["equivalence"];
  EXPECT_DOUBLE_EQ(same["margin"], 0.5);
  EXPECT_EQ(same["equivalent"], true);  // z = sqrt(10 * 0.5 / 0.5)
  EXPECT_NEAR(same["p"].get<double>(), 0.5 * std::erfc(std::sqrt(10 / 2.0)), 1e-12);
  right = 3;
  EXPECT_EQ(run()["eval"]["comparison"][0]["details"]["equivalence"]["equivalent"], false);
}

TEST_F(CodeTasks, ErrorsByCategoryAndProblem) {
  const Json details = run()["eval"]["tasks"][0]["details"];
  EXPECT_EQ(details["errors"], Json({{"wrong answer", 4}}));
  EXPECT_EQ(details["problems_by_error"], Json({{"wrong answer", {"T/6", "T/7", "T/8", "T/9"}}}));
  EXPECT_EQ(details["protocol_sha256"].get<std::string>().size(), 16u);
}

// Two languages with the same problems: one cluster each, so the interval is as wide as one language's.
TEST_F(CodeTasks, HumanEvalMulIsComparedOverClusters) {
  const std::string set = read_file(options.data);
  std::filesystem::create_directories(folder + "/mul");
  std::string js = set;
  write_file(folder + "/mul/humaneval-python.jsonl", set);
  for (size_t at = 0; (at = js.find("\"task_id\"", at)) != std::string::npos; at += 24) js.insert(at, "\"language\": \"js\", ");
  write_file(folder + "/mul/humaneval-js.jsonl", js);
  options.tasks = {"humaneval-mul"};
  options.data = folder + "/mul";
  options.languages = {"python", "js"};
  options.reference = "reference";
  const Json comparisons = run()["eval"]["comparison"];
  ASSERT_EQ(comparisons.size(), 3u);
  EXPECT_EQ(comparisons[2]["task"], "humaneval-mul");
  EXPECT_EQ(comparisons[2]["test"], "clustered-bootstrap");
  EXPECT_EQ(comparisons[2]["n"], 10);
  EXPECT_NEAR(comparisons[2]["difference"].get<double>(), -0.3, 1e-12);
  const Interval one_language = bootstrap_mean(std::vector<double>{0, 0, 0, 0, 0, 0, -1, -1, -1, 0}).ci;
  EXPECT_NEAR(comparisons[2]["ci95"][0].get<double>(), one_language.low, 1e-12);
  EXPECT_NEAR(comparisons[2]["ci95"][1].get<double>(), one_language.high, 1e-12);
  EXPECT_TRUE(comparisons[2]["p_holm"].is_number());
}

TEST_F(CodeTasks, HumanEvalMulHasAMeanOnlyWhenAllLanguagesRan) {
  const std::string set = read_file(options.data);
  std::filesystem::create_directories(folder + "/mul");
  write_file(folder + "/mul/humaneval-python.jsonl", set);
  options.tasks = {"humaneval-mul"};
  options.data = folder + "/mul";
  options.languages = {"python"};
  const Json record = run();
  const Json& tasks = record["eval"]["tasks"];
  ASSERT_EQ(tasks.size(), 2u);
  EXPECT_EQ(tasks[0]["name"], "humaneval-mul/python");
  EXPECT_DOUBLE_EQ(tasks[0]["value"], 0.6);
  EXPECT_TRUE(tasks[1]["value"].is_null());
  EXPECT_EQ(tasks[1]["details"]["partial"]["python"], 0.6);
  options.languages = {"python", "cpp"};
  EXPECT_NE(error_of(ErrorKind::Input).find("humaneval-cpp.jsonl"), std::string::npos);
}

TEST_F(CodeTasks, CompletionsNameTheirTaskThemselves) {
  options.tasks.clear();
  options.data.clear();
  options.score_completions = file("demo.jsonl", "{\"task_id\": \"Teeny/0\", \"completion\": \"\"}\n");
  const Json record = run();
  EXPECT_EQ(record["eval"]["tasks"][0]["name"], "demo-code-python");
  EXPECT_EQ(record["eval"]["tasks"][0]["n"], 1);
  EXPECT_TRUE(record["eval"]["tasks"][1]["value"].is_null());
}

TEST(RepeatsItself, SeesLoopsOnly) {
  EXPECT_TRUE(repeats_itself(std::string(200, 'a')));
  EXPECT_TRUE(repeats_itself("    x = 1\n" + std::string(60, ' ') + std::string(90, '.')));
  std::string loop = "    return [";
  for (int i = 0; i < 30; ++i) loop += "1, 2, ";
  EXPECT_TRUE(repeats_itself(loop));
  EXPECT_FALSE(repeats_itself("    return ''.join(c for c in s if not (c.isalpha() and c not in 'aeiou'))\n"));
  EXPECT_FALSE(repeats_itself("    return sum(x for x in xs if x > 0)" + std::string(8, '\n')));
  EXPECT_FALSE(repeats_itself(""));
}

}  // namespace
}  // namespace teeny
