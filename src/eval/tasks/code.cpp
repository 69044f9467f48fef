// The code tasks: which problems, which protocol. How programs are generated and judged is in programs.cpp.
#include "eval/programs.h"
#include "teeny/core/env.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

// A file, or the first of the known names in a folder; empty: nothing there.
std::string find_problems(const std::string& place, std::initializer_list<const char*> names) {
  if (!is_directory(place)) return path_exists(place) ? place : "";
  for (const char* name : names)
    if (const auto path = path_join(place, name); path_exists(path)) return path;
  return "";
}

void require_base_protocol(const EvalJob& job, const char* task) {
  if (job.options.protocol == "instruct")
    throw input_error("eval", task, "--protocol instruct is not available in this version; pass --protocol base");
}
}  // namespace

void run_demo_code(EvalJob& job) {
  for (const auto& [name, file] : {std::pair{"demo-code-python", "humaneval-teeny-python.jsonl"}, std::pair{"demo-code-javascript", "humaneval-teeny-js.jsonl"}}) {
    job.context.check_interrupted();
    run_program_task(job, {.name = name,
                           .protocol = "demo-code: raw prompt, no BOS, greedy",
                           .problems = path_join(shipped_model_directory(), file),
                           .max_new_tokens = 96,
                           .add_special = false});
  }
}

void run_humaneval(EvalJob& job) {
  require_base_protocol(job, "humaneval");
  const auto names = {"HumanEval.jsonl", "HumanEval.jsonl.gz", "humaneval.jsonl", "humaneval.jsonl.gz", "human-eval.jsonl", "human-eval.jsonl.gz"};
  const std::string& data = job.options.data;
  const std::string place = data.empty() ? path_join(cache_directory(), "humaneval") : data, path = find_problems(place, names);
  if (path.empty() && data.empty())
    throw input_error("eval", "humaneval", "the problems are not in {}, and this version cannot download them; pass --data FILE, HumanEval.jsonl.gz of openai/human-eval", place);
  if (path.empty()) throw input_error("eval", data, "does not exist or holds no HumanEval.jsonl; pass --data FILE, a problem set in HumanEval's form");
  run_program_task(job, {.name = "humaneval", .protocol = "base: prompt as it stands, cut at the language's stop strings", .problems = path, .max_new_tokens = 512, .add_special = true});
}

void run_humaneval_mul(EvalJob&) {
  throw input_error("eval", "humaneval-mul", "is not available in this version; --tasks humaneval --data FILE scores a Python or JavaScript set in HumanEval's form");
}

}  // namespace teeny
