// Runs generated programs in a sandbox and says which are right. Knows nothing of models.
// The judge stands outside: a program under test runs alone in a fresh sandbox and only answers calls; the tests, the
// expected values and every comparison live in another process which never holds a line of the program.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/core/context.h"
#include "teeny/core/json.h"

namespace teeny {

struct Problem {
  std::string task_id, language;  // python cpp java cs ts js php sh; any other is judged "not run"
  std::string prompt, entry_point, test, canonical_solution;
  std::string prelude;            // put before the prompt (HumanEval-Mul's import helper); usually empty
  std::vector<std::string> stop_tokens;
};

// HumanEval-form .jsonl(.gz). Without a "language" key the language is Python; "tests" stands in for "test"; an absent
// entry_point is found in the prompt or the test. Throws Input naming the line's task for a missing field.
std::vector<Problem> load_problems(const std::string& path);

// The stop strings of a language's base protocol, and the completion up to the first of them or of `extra_stops`.
std::vector<std::string> default_stops(std::string_view language);
std::string cut_completion(std::string_view language, std::string_view completion,
                           const std::vector<std::string>& extra_stops = {});

// Protocol `instruct`, the one of HumanEval-Mul's authors (DeepSeek-Coder): a fixed English instruction around the prompt
// in a fenced block. From the answer: the first block of the language, no main program, without the end that the tests
// bring. The result stands in place of the prompt (Job::whole).
inline constexpr std::string_view kInstructProtocol = "instruct-1";  // changes when one of the two functions does
std::string instruct_prompt(const Problem& problem);
std::string extract_program(const Problem& problem, std::string_view answer);

struct Job {
  Problem problem;
  std::string completion;
  bool cut = true;  // apply cut_completion with the problem's own stop tokens first
  bool whole = false;  // the completion is the whole program and stands in place of the prompt (see extract_program)
};

// Verdict::category: "passed", "not run" (no interpreter, or the test itself cannot run: says nothing of the program),
// or why it failed, in evaluation's words.
namespace category {
inline constexpr std::string_view kPassed = "passed";
inline constexpr std::string_view kNotRun = "not run";
inline constexpr std::string_view kSyntax = "syntax error";
inline constexpr std::string_view kName = "name or import error";
inline constexpr std::string_view kType = "type error";
inline constexpr std::string_view kWrong = "wrong answer";
inline constexpr std::string_view kException = "exception";
inline constexpr std::string_view kTime = "time limit";
inline constexpr std::string_view kMemory = "memory limit";
inline constexpr std::string_view kOutput = "output limit";
inline constexpr std::string_view kEmpty = "empty or truncated completion";
inline constexpr std::string_view kRefused = "refused by the sandbox";
}  // namespace category

struct Verdict {
  bool passed = false;
  bool ran = true;           // false: category "not run"; leave it out of every score
  std::string category, detail;
  double cpu_seconds = 0, wall_seconds = 0;
  bool timed_out = false;    // on its second run too: a program over the limit is run again alone
  uint64_t output_bytes = 0; // what the program printed (it never decides a verdict)
};

struct JudgeOptions {
  int threads = 0;                       // 0: all cores
  double timeout_s = 3;                  // CPU seconds of one program; the wall clock's backstop is 10 times that
  bool accept_unsandboxed = false;       // run without a sandbox when none works here
  uint64_t memory_bytes = 1ull << 30;    // of all processes of one program together
  uint64_t output_quota = 256ull << 20;  // bytes printed before a program is killed
  std::string force_tier;                // "bubblewrap", "landlock", "unsandboxed": only this one (tests, doctor)
};

struct SandboxInfo {
  std::string tier;  // "bubblewrap", "landlock", "none" (run() refuses), "unsandboxed"
  Json self_test;    // {tier: {probe: "ok" | what happened}}: every tier tried
};

// {language: {paths, packages, problem}}: what is there, without running any of it. problem: "" when nothing is missing.
Json judge_programs();

class JudgeState;

class Judge {
 public:
  explicit Judge(JudgeOptions options);
  ~Judge();
  Judge(const Judge&) = delete;
  Judge& operator=(const Judge&) = delete;
  SandboxInfo sandbox();  // runs the self-test on the first call (a second or less)
  // {state: "ok" | "not found" | "unknown", path, version, with (more files), problem (what to do about it)}. The first
  // call for a language runs its self-test: a right and a wrong program, compiled where the language is.
  Json toolchain(std::string_view language);
  Json toolchains();       // {language: toolchain} of all languages
  Json used_toolchains();  // of those that were asked for or judged so far
  // One verdict per job, in order. Throws Device when there is no sandbox and accept_unsandboxed is false;
  // context gives progress and interruption. Not for several threads at once.
  std::vector<Verdict> run(const std::vector<Job>& jobs, const Context& context);

 private:
  std::unique_ptr<JudgeState> state_;
};

}  // namespace teeny
