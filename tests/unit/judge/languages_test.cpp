// Every language: right and wrong programs, categories, closings; skipped where the tools are missing.
#include <gtest/gtest.h>

#include "judge/language.h"
#include "teeny/judge/judge.h"

namespace teeny {
namespace {

struct Case {
  const char* name;
  std::string_view expected;
  std::string body;
};

struct Subject {
  const char *language, *entry_point, *prompt, *test;
  std::vector<Case> cases;
};

const Subject& subject(const std::string& language) {
  static const std::vector<Subject> table = {
      {"ts", "twice", "function twice(xs: number[], s: string): [number[], string | undefined] {\n",
       "declare var require: any;\nconst assert = require('node:assert');\n\nfunction test() {\n  let candidate = twice;\n  assert.deepEqual(candidate([1, 2.5], \"a\"),[[2, 5], \"aa\"]);\n"
       "  assert.deepEqual(candidate([], \"\"),[[], undefined]);\n}\n\ntest();",
       {{"right", category::kPassed, "  return [xs.map((x: number) => x + x), s ? s + s : undefined];\n}\n"},
        {"wrong", category::kWrong, "  return [xs, s];\n}\n"},
        {"type error", category::kType, "  const n: number = s;\n  return [xs, s];\n}\n"},
        {"unknown name", category::kName, "  return [ys, s];\n}\n"},
        {"syntax", category::kSyntax, "  return [xs s];\n}\n"},
        {"truncated", category::kEmpty, "  if (xs) { return [xs, s];\n}\n"}}},
      {"php", "twice", "<?php\nfunction twice($xs, $s) {\n",
       "function candidate(...$args) {\n    return twice(...$args);\n}\n\nfunction test(): void {\n    if (candidate(array(1, 2.5), \"a\") !== array(array(2, 5.0), \"aa\")) { throw new Exception(\"Test failed!\"); }\n"
       "    if (candidate(array(\"k\" => 4), \"\") !== array(array(\"k\" => 8), null)) { throw new Exception(\"Test failed!\"); }\n}\n\ntest();",
       {{"right", category::kPassed, "    return array(array_map(function ($x) { return $x + $x; }, $xs), $s === '' ? null : $s . $s);\n}\n"},
        {"wrong", category::kWrong, "    return array($xs, $s);\n}\n"},
        {"int for float", category::kWrong, "    return array(array_map(function ($x) { return (int) ($x + $x); }, $xs), $s === '' ? null : $s . $s);\n}\n"},
        {"unknown name", category::kName, "    return dubble($xs);\n}\n"},
        {"type error", category::kType, "    return $xs + 1;\n}\n"},
        {"throws", category::kException, "    throw new Exception('no');\n}\n"},
        {"syntax", category::kSyntax, "    return $xs $s;\n}\n"},
        {"truncated", category::kEmpty, "    return array($xs, "}}},
      {"sh", "twice", "#!/bin/bash\ntwice() {\n", "}\n\ncandidate() {\n    twice \"$@\"\n}\n\nset -e\nrun_test() {\n    [[ $(candidate \"1 2\" \"a\") = \"1 2 1 2 aa\" ]]\n    [[ $(candidate \"\" \"*\") = \" **\" ]]\n}\n\nrun_test\n",
       {{"right", category::kPassed, "    if [ -z \"$1\" ]; then echo \" $2$2\"; else echo \"$1 $1 $2$2\"; fi"},
        {"wrong", category::kWrong, "    echo \"$1 $2\""},
        {"unknown command", category::kName, "    dubble \"$1\""},
        {"truncated", category::kEmpty, "    echo \"$1"}}},
      {"cpp", "twice", "#include<assert.h>\n#include<bits/stdc++.h>\nstd::tuple<std::vector<float>, std::optional<std::string>> twice(std::vector<float> xs, std::map<std::string,long> m) {\n",
       "}\nint main() {\n    auto candidate = twice;\n    assert(candidate((std::vector<float>({(float)1.0f, (float)2.5f})), (std::map<std::string,long>({{\"a\", 1}}))) == (std::make_tuple(std::vector<float>({2.0f, 5.0f}), \"a\")));\n"
       "    assert(candidate((std::vector<float>()), (std::map<std::string,long>())) == (std::make_tuple(std::vector<float>(), std::nullopt)));\n}\n",
       {{"right", category::kPassed, "    for (auto& x : xs) x += x;\n    if (m.empty()) return {xs, std::nullopt};\n    return {xs, m.begin()->first};"},
        {"wrong", category::kWrong, "    return {xs, std::nullopt};"},
        {"throws", category::kException, "    throw std::runtime_error(\"no\");"},
        {"crashes", category::kException, "    int* p = nullptr;\n    return {{float(*p)}, std::nullopt};"},
        {"unknown name", category::kName, "    return ys;"},
        {"type error", category::kType, "    return std::string(\"x\");"},
        {"truncated", category::kEmpty, "    if (true) {\n    return {xs, std::nullopt};"}}},
      {"java", "twice", "import java.util.*;\nimport org.javatuples.*;\nclass Problem {\n    public static Pair<ArrayList<Long>, Optional<String>> twice(ArrayList<Long> xs, HashMap<String,Float> m) {\n",
       "    }\n    public static void main(String[] args) {\n    assert(twice((new ArrayList<Long>(Arrays.asList((long)1l, (long)2l))), (new HashMap<String,Float>(Map.of(\"a\", 1.5f)))).equals((Pair.with(new ArrayList<Long>(Arrays.asList(2l, 4l)), Optional.of(\"a\")))));\n"
       "    assert(twice((new ArrayList<Long>()), (new HashMap<String,Float>())).equals((Pair.with(new ArrayList<Long>(), Optional.empty()))));\n    }\n\n}\n",
       {{"right", category::kPassed, "        ArrayList<Long> r = new ArrayList<>();\n        for (long x : xs) r.add(x + x);\n        return Pair.with(r, m.isEmpty() ? Optional.empty() : Optional.of(m.keySet().iterator().next()));"},
        {"wrong", category::kWrong, "        return Pair.with(xs, Optional.empty());"},
        {"throws", category::kException, "        throw new IllegalStateException(\"no\");"},
        {"unknown name", category::kName, "        return ys;"},
        {"type error", category::kType, "        return 5;"},
        {"syntax", category::kSyntax, "        return xs xs;"}}},
      {"cs", "Twice", "using System;\nusing System.Diagnostics;\nusing System.Collections.Generic;\nusing System.Linq;\nclass Problem {\n    public static Tuple<long, string> Twice(List<long> xs, Dictionary<string,float> m) {\n",
       "    }\n    public static void Main(string[] args) {\n    Debug.Assert(Twice((new List<long>(new long[]{(long)1L, (long)2L})), (new Dictionary<string,float>(){{\"a\", 1.5f}})).Equals((Tuple.Create(6L, \"a\"))));\n"
       "    Debug.Assert(Twice((new List<long>()), (new Dictionary<string,float>())).Equals((Tuple.Create(0L, \"\"))));\n    }\n\n}\n",
       {{"right", category::kPassed, "        return Tuple.Create(2 * xs.Sum(), m.Count == 0 ? \"\" : m.Keys.First());"},
        {"wrong", category::kWrong, "        return Tuple.Create(0L, \"\");"},
        {"throws", category::kException, "        throw new Exception(\"no\");"},
        {"unknown name", category::kName, "        return ys;"},
        {"type error", category::kType, "        return 5;"},
        {"syntax", category::kSyntax, "        return xs xs;"}}},
  };
  for (const Subject& s : table)
    if (s.language == language) return s;
  throw std::logic_error(language);
}

class JudgeLanguages : public testing::TestWithParam<const char*> {};

TEST_P(JudgeLanguages, RightAndWrongAndWhy) {
  const Subject s = subject(GetParam());
  Judge judge({});
  const Json tools = judge.toolchain(s.language);
  if (tools["state"] != "ok") GTEST_SKIP() << tools.dump();
  EXPECT_FALSE(tools["version"].get<std::string>().empty());
  Problem p;
  p.task_id = std::string(s.language) + "/0";
  p.language = s.language, p.entry_point = s.entry_point, p.prompt = s.prompt, p.test = s.test;
  std::vector<Job> jobs;
  for (const Case& c : s.cases) jobs.push_back({p, c.body, false});
  Context context;
  const auto verdicts = judge.run(jobs, context);
  for (size_t i = 0; i < jobs.size(); ++i) EXPECT_EQ(verdicts[i].category, s.cases[i].expected) << s.language << " " << s.cases[i].name << ": " << verdicts[i].detail;
}

INSTANTIATE_TEST_SUITE_P(All, JudgeLanguages, testing::Values("ts", "php", "sh", "cpp", "java", "cs"), [](const auto& info) { return std::string(info.param); });

// A problem set is a file from elsewhere: a megabyte where a name or a space is expected must not exhaust the stack.
TEST(JudgeProblems, AProblemMayBeLong) {
  const std::string megabyte(1 << 20, 'a'), spaces(1 << 20, ' ');
  const Subject& s = subject("cpp");
  Problem p;
  p.task_id = "cpp/long", p.language = "cpp", p.entry_point = s.entry_point;
  p.prompt = "union Union_a { long f0; Union_a(long _f0) : f0(_f0) {} " + megabyte + "\nUnion_a(" + megabyte + " };\n" + std::string(s.prompt);
  p.test = "}\nint " + spaces + "main() { assert(candidate() == 1); }\n";
  const auto* language = judge::find_language("cpp");
  ASSERT_TRUE(language);
  EXPECT_NE(language->driver_source(p).find("struct Union_a { int teeny_tag_ = -1;"), std::string::npos);
  EXPECT_NE(language->worker_source(p, p.prompt + "  return {};\n}").find("struct Union_a { int teeny_tag_ = -1;"), std::string::npos);
}

TEST(JudgeBroken, ABrokenTestIsNotTheProgramsFault) {
  Judge judge({});
  Context context;
  for (const char* language : {"ts", "php", "sh", "cpp", "java", "cs"}) {
    if (judge.toolchain(language)["state"] != "ok") continue;
    const Subject s = subject(language);
    Problem p;
    p.task_id = std::string(language) + "/broken";
    p.language = language, p.entry_point = s.entry_point, p.prompt = s.prompt;
    p.test = std::string(language) == "sh" ? "}\nif then\n" : s.test + std::string(" (((");
    const Verdict v = judge.run({{p, s.cases[0].body, false}}, context)[0];
    // TypeScript's compiler sees both at once, as the set's own harness does: it cannot tell whose fault an error is.
    if (std::string(language) != "ts") { EXPECT_EQ(v.category, category::kNotRun) << language << ": " << v.detail; }
    EXPECT_FALSE(v.passed);
  }
}

}  // namespace
}  // namespace teeny
