// Whole problem sets: reference completions, canonical solutions, mutated ones.
#include <gtest/gtest.h>

#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <thread>

#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/judge/judge.h"
#include "teeny/text/dataset.h"

namespace teeny {
namespace {

const std::string kRoot = TEENY_TEST_SOURCE_DIR;
const std::string kModel = kRoot + "/configs/models/teeny-demo-7m/";

std::vector<Verdict> judge_all(const std::vector<Job>& jobs, JudgeOptions options = {}) {
  Judge judge(options);
  Context context;
  return judge.run(jobs, context);
}

std::vector<Job> canonical_jobs(const std::vector<Problem>& problems) {
  std::vector<Job> jobs;
  for (const Problem& p : problems) jobs.push_back({p, p.canonical_solution, false});
  return jobs;
}

std::string describe(const Job& job, const Verdict& v) { return job.problem.task_id + ": " + v.category + ": " + v.detail + "\n" + job.completion; }

std::vector<Problem> demo_problems() {
  std::vector<Problem> all = load_problems(kModel + "humaneval-teeny-python.jsonl");
  for (Problem& p : load_problems(kModel + "humaneval-teeny-js.jsonl")) all.push_back(p);
  return all;
}

TEST(JudgeSets, LoadsTheShippedSets) {
  std::vector<Problem> all = demo_problems();
  ASSERT_EQ(all.size(), 264u);
  EXPECT_EQ(all[0].language, "python");
  EXPECT_EQ(all[0].entry_point, "drop_conss");
  EXPECT_EQ(all[164].language, "js");
  EXPECT_EQ(all[164].stop_tokens.size(), 3u);
}

TEST(JudgeSets, RefusesWhatIsNoProblemSet) {
  EXPECT_THROW(load_problems(kRoot + "/tests/data/reference_completions.jsonl"), Error);
}

// Without the field "entry_point": where each language names the function, at any length.
TEST(JudgeSets, FindsTheFunctionOfASet) {
  const std::string name = "f" + std::string(1 << 20, 'x'), path = testing::TempDir() + "teeny-entry-" + std::to_string(getpid()) + ".jsonl";
  for (const auto& [language, prompt, test] : std::vector<std::array<std::string, 3>>{
           {"python", "def helper(y):\n    return y\n\ndef @ (x):\n    \"\"\"helper(1)\"\"\"\n", "def check(candidate):\n    pass\n"},
           {"js", "// twice(3)\nfunction @(x){\n", "console.log(1);"},
           {"ts", "function other(x: number): number {\n", "let candidate = @;\n"},
           {"php", "<?php\nfunction other($x) {\n", "function candidate(...$args) {\n    return @(...$args);\n}\n"},
           {"sh", "#!/bin/bash\n@() {\n", "}\n"},
           {"sh", "#!/bin/bash\nother() {\n", "}\ncandidate() {\n    @ \"$@\"\n}\n"},
           {"cpp", "#include<bits/stdc++.h>\nstd::map<long,std::function<long(long)>> @(std::vector<long> xs, long n) {\n", "}\nint main() {}\n"},
           {"java", "class Problem {\n    public static HashMap<Long,Long> @(ArrayList<Long> xs) {\n", "    }\n"},
           {"cs", "class Problem {\n    public static Dictionary<long,long> @(List<long> xs) {\n", "    }\n"}}) {
    const auto with_name = [&](std::string text) {
      for (size_t at = 0; (at = text.find('@', at)) != std::string::npos; at += name.size())
        if (at == 0 || text[at - 1] != '$') text.replace(at, 1, name);
      return text;
    };
    write_file(path, dump_json({{"task_id", "T/0"}, {"language", language}, {"prompt", with_name(prompt)}, {"test", with_name(test)}}, -1));
    EXPECT_EQ(load_problems(path).at(0).entry_point.substr(0, 64), name.substr(0, 64)) << language << " " << prompt;
  }
  unlink(path.c_str());
}

TEST(JudgeSets, ReproducesTheReferenceVerdicts) {
  std::map<std::string, Problem> problems;
  for (Problem& p : demo_problems()) problems[p.task_id] = p;
  std::vector<Job> jobs;
  std::vector<bool> expected;
  for (const Json& row : read_jsonl(kRoot + "/tests/data/reference_completions.jsonl")) {
    jobs.push_back({problems.at(row["task_id"].get<std::string>()), row["completion"].get<std::string>()});
    expected.push_back(row["passed"].get<bool>());
  }
  ASSERT_EQ(jobs.size(), 264u);
  auto start = std::chrono::steady_clock::now();
  std::vector<Verdict> verdicts = judge_all(jobs);
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  int python = 0, js = 0;
  for (size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_EQ(verdicts[i].passed, expected[i]) << describe(jobs[i], verdicts[i]);
    EXPECT_TRUE(verdicts[i].ran);
    EXPECT_GT(verdicts[i].cpu_seconds, 0) << jobs[i].problem.task_id;
    (jobs[i].problem.language == "js" ? js : python) += verdicts[i].passed;
  }
  EXPECT_EQ(python, 158);
  EXPECT_EQ(js, 93);
  RecordProperty("seconds", std::to_string(seconds));
  EXPECT_LT(seconds, 60) << "264 verdicts should take a few seconds";
}

TEST(JudgeSets, CanonicalSolutionsPass) {
  std::vector<Job> jobs = canonical_jobs(demo_problems());
  std::vector<Verdict> verdicts = judge_all(jobs);
  for (size_t i = 0; i < jobs.size(); ++i) EXPECT_TRUE(verdicts[i].passed) << describe(jobs[i], verdicts[i]);
}

// Every solution made wrong: its value is wrapped, so that nothing that was right stays right.
TEST(JudgeSets, MutatedSolutionsFail) {
  std::vector<Job> jobs;
  for (const Job& job : canonical_jobs(demo_problems()))
    if (job.problem.task_id.back() % 2) jobs.push_back(job);  // half of them: time
  for (Job& job : jobs) {
    std::string& c = job.completion;
    if (job.problem.language == "python") {
      c += "\n_f = " + job.problem.entry_point + "\ndef " + job.problem.entry_point + "(*a):\n    return [_f(*a)]\n";
    } else {
      c += "\nconst _f = " + job.problem.entry_point + ";\n" + job.problem.entry_point + " = (...a) => [[_f(...a)], 0];\n";
    }
  }
  std::vector<Verdict> verdicts = judge_all(jobs);
  for (size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_FALSE(verdicts[i].passed) << describe(jobs[i], verdicts[i]);
    EXPECT_EQ(verdicts[i].category, category::kWrong) << describe(jobs[i], verdicts[i]);
  }
}

std::string foreign(const std::string& name) { return kRoot + "/../shared/data/" + name; }

TEST(JudgeSets, HumanEvalCanonicalSolutionsPass) {
  std::string path = foreign("HumanEval.jsonl.gz");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  std::vector<Job> jobs = canonical_jobs(load_problems(path));
  ASSERT_EQ(jobs.size(), 164u);
  std::vector<Verdict> verdicts = judge_all(jobs);
  for (size_t i = 0; i < jobs.size(); ++i) EXPECT_TRUE(verdicts[i].passed) << describe(jobs[i], verdicts[i]);
}

// All 164, made wrong by wrapping what they return in a list.
TEST(JudgeSetsSlow, HumanEvalMutatedSolutionsFail) {
  std::string path = foreign("HumanEval.jsonl.gz");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  std::vector<Job> jobs = canonical_jobs(load_problems(path));
  for (Job& job : jobs) job.completion += "\n_f = " + job.problem.entry_point + "\ndef " + job.problem.entry_point + "(*a):\n    return [_f(*a)]\n";
  std::vector<Verdict> verdicts = judge_all(jobs);
  for (size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_TRUE(verdicts[i].ran) << describe(jobs[i], verdicts[i]);
    EXPECT_FALSE(verdicts[i].passed) << describe(jobs[i], verdicts[i]);
  }
}

TEST(JudgeSetsSlow, HumanEvalMulPython) {
  std::string path = foreign("humaneval-mul/humaneval-python.jsonl.gz");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  std::vector<Job> jobs = canonical_jobs(load_problems(path));
  ASSERT_EQ(jobs.size(), 164u);
  std::vector<Verdict> verdicts = judge_all(jobs);
  for (size_t i = 0; i < jobs.size(); ++i) EXPECT_TRUE(verdicts[i].passed) << describe(jobs[i], verdicts[i]);
}

// No canonical solutions exist: a program that returns a unique value must run and be wrong on every one. The test of
// one problem is itself no JavaScript (a line break inside a string): that is said, and not held against the program.
TEST(JudgeSetsSlow, HumanEvalMulJavaScriptRuns) {
  std::string path = foreign("humaneval-mul/humaneval-js.jsonl.gz");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  std::vector<Job> jobs;
  for (const Problem& p : load_problems(path)) jobs.push_back({p, "  return Symbol('no');\n}\n"});
  ASSERT_EQ(jobs.size(), 161u);
  std::vector<Verdict> verdicts = judge_all(jobs);
  for (size_t i = 0; i < jobs.size(); ++i)
    EXPECT_EQ(verdicts[i].category, jobs[i].problem.task_id == "HumanEval_51_remove_vowels" ? category::kNotRun : category::kWrong)
        << describe(jobs[i], verdicts[i]);
}

// The same completions five times, the last time beside four busy threads for each core: no verdict may change.
TEST(JudgeSetsSlow, VerdictsDoNotDependOnLoad) {
  std::vector<Job> jobs = canonical_jobs(load_problems(kModel + "humaneval-teeny-python.jsonl"));
  for (size_t i = 0; i < jobs.size(); i += 3) jobs[i].completion = "    return None\n";
  std::atomic<bool> stop{false};
  std::vector<std::thread> busy;
  for (int round = 0; round < 5; ++round) {
    if (round == 4)
      for (unsigned i = 0; i < 4 * std::max(1u, std::thread::hardware_concurrency()); ++i)
        busy.emplace_back([&stop] {
          while (!stop) {}
        });
    JudgeOptions options;
    options.threads = round == 0 ? 1 : round == 4 ? 0 : 8;
    std::vector<Verdict> verdicts = judge_all(jobs, options);
    for (size_t i = 0; i < jobs.size(); ++i) EXPECT_EQ(verdicts[i].passed, i % 3 != 0) << round << " " << describe(jobs[i], verdicts[i]);
  }
  stop = true;
  for (auto& thread : busy) thread.join();
}

}  // namespace
}  // namespace teeny
