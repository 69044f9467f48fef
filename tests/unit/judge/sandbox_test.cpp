// Tiers, self-test, toolchains, and what happens where something is missing.
#include <gtest/gtest.h>

#include "teeny/core/error.h"
#include "teeny/judge/judge.h"

namespace teeny {
namespace {

Problem identity() {
  Problem p;
  p.task_id = "t/0";
  p.language = "python";
  p.prompt = "def twice(x):\n    \"\"\"Return x two times.\"\"\"\n";
  p.entry_point = "twice";
  p.test = "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate('ab') == 'abab'\n";
  return p;
}

TEST(JudgeSandbox, BubblewrapPassesItsSelfTest) {
  JudgeOptions options;
  options.force_tier = "bubblewrap";
  Judge judge(options);
  SandboxInfo info = judge.sandbox();
  ASSERT_EQ(info.tier, "bubblewrap") << info.self_test.dump(1);
  EXPECT_GE(info.self_test["bubblewrap"].size(), 8u);
  for (auto& [probe, result] : info.self_test["bubblewrap"].items()) EXPECT_EQ(result, "ok") << probe;
}

TEST(JudgeSandbox, LandlockPassesItsSelfTest) {
  JudgeOptions options;
  options.force_tier = "landlock";
  Judge judge(options);
  SandboxInfo info = judge.sandbox();
  if (info.self_test["landlock"].is_string()) GTEST_SKIP() << info.self_test.dump();
  ASSERT_EQ(info.tier, "landlock") << info.self_test.dump(1);
  Context context;
  std::vector<Verdict> v = judge.run({{identity(), "    return x + x\n"}, {identity(), "    return x\n"}}, context);
  EXPECT_TRUE(v[0].passed) << v[0].detail;
  EXPECT_EQ(v[1].category, category::kWrong);
}

// Where an interpreter of a user's own hides bubblewrap's (pyenv of root), landlock serves, and has to serve every language.
TEST(JudgeSandbox, LandlockRunsWhatBubblewrapRuns) {
  JudgeOptions options;
  options.force_tier = "bubblewrap";
  Judge bubblewrap(options);
  options.force_tier = "landlock";
  Judge landlock(options);
  if (bubblewrap.sandbox().tier != "bubblewrap" || landlock.sandbox().tier != "landlock") GTEST_SKIP() << "both are needed";
  int languages = 0;
  for (const char* language : {"python", "js", "ts"}) {
    if (bubblewrap.toolchain(language)["state"] != "ok") continue;
    ++languages;
    EXPECT_EQ(landlock.toolchain(language)["state"], "ok") << language << ": " << landlock.toolchain(language).dump(1);
  }
  EXPECT_GT(languages, 0);
}

TEST(JudgeSandbox, UnsandboxedOnlyWhenAccepted) {
  JudgeOptions options;
  options.force_tier = "unsandboxed";
  Judge refused(options);
  EXPECT_EQ(refused.sandbox().tier, "none");
  Context context;
  EXPECT_THROW(refused.run({{identity(), "    return x + x\n"}}, context), Error);
  options.accept_unsandboxed = true;
  Judge accepted(options);
  EXPECT_EQ(accepted.sandbox().tier, "unsandboxed");
  EXPECT_TRUE(accepted.run({{identity(), "    return x + x\n"}}, context)[0].passed);
}

TEST(JudgeSandbox, NamesItsToolchains) {
  Judge judge({});
  const Json python = judge.toolchain("python");
  EXPECT_EQ(python["state"], "ok") << python.dump();
  EXPECT_NE(python["version"].get<std::string>().find("Python 3"), std::string::npos);
  EXPECT_EQ(judge.toolchain("cobol")["state"], "unknown");
  EXPECT_EQ(judge.used_toolchains().size(), 1u);
  const Json programs = judge_programs();
  for (const char* language : {"python", "cpp", "java", "cs", "ts", "js", "php", "sh"}) {
    ASSERT_TRUE(programs.contains(language));
    const std::string problem = programs[language]["problem"];  // says what to install
    EXPECT_EQ(problem.empty(), !programs[language]["paths"].empty()) << problem;
    EXPECT_TRUE(problem.empty() || problem.find("apt-get install") != std::string::npos) << problem;
  }
}

TEST(JudgeSandbox, UnknownLanguageIsNotRunAndNeverFailed) {
  Judge judge({});
  Problem p = identity();
  p.language = "cobol";
  Context context;
  Verdict v = judge.run({{p, "x"}}, context)[0];
  EXPECT_FALSE(v.ran);
  EXPECT_FALSE(v.passed);
  EXPECT_EQ(v.category, category::kNotRun);
}

TEST(JudgeSandbox, BrokenTestsAreNotTheProgramsFault) {
  Judge judge({});
  Context context;
  Problem broken = identity(), silent = identity(), lambda = identity();
  broken.test = "def check(candidate):\n    assert (\n";
  silent.test = "def check(candidate):\n    pass\n";
  lambda.test = "def check(candidate):\n    assert candidate(lambda: 1) == 2\n";
  for (const Problem& p : {broken, silent, lambda}) {
    Verdict v = judge.run({{p, "    return x + x\n"}}, context)[0];
    EXPECT_EQ(v.category, category::kNotRun) << p.test;
    EXPECT_FALSE(v.ran);
  }
}

TEST(JudgeSandbox, RefusesABadTimeout) {
  JudgeOptions options;
  options.timeout_s = 0;
  EXPECT_THROW(Judge{options}, Error);
}

TEST(JudgeCut, CutsAtTheEarliestStop) {
  EXPECT_EQ(cut_completion("python", "    return 1\n\ndef g():\n    pass\n"), "    return 1\n");
  EXPECT_EQ(cut_completion("python", "    return 1\nprint(2)\n"), "    return 1");
  EXPECT_EQ(cut_completion("python", "    if x:\n        return 1\n"), "    if x:\n        return 1\n");
  EXPECT_EQ(cut_completion("js", "  return 1;\n}\n\nfunction g() {}"), "  return 1;\n}\n");
  EXPECT_EQ(cut_completion("js", "  return 1;\n}\nSTOP more", {"\nSTOP"}), "  return 1;\n}");
  EXPECT_EQ(cut_completion("python", "", {""}), "");
}

}  // namespace
}  // namespace teeny
