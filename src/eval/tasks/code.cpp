// The code tasks: which problems, which protocol. How programs are generated and judged is in programs.cpp.
#include <algorithm>

#include "eval/programs.h"
#include "teeny/core/env.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

constexpr const char* kBaseProtocol = "base: prompt as it stands, cut at the language's stop strings";

// --data FILE itself, or the first of `names` in the folder --data or, without it, in the cache.
std::string require_problems(const EvalJob& job, const char* task, const std::vector<std::string>& names) {
  const std::string& data = job.options.data;
  if (!data.empty() && path_exists(data) && !is_directory(data)) return data;
  const std::string place = data.empty() ? path_join(cache_directory(), task) : data;
  for (const auto& name : names)
    if (const auto path = path_join(place, name); path_exists(path)) return path;
  if (data.empty()) throw input_error("eval", task, "{} is not in {}; run teeny doctor --fetch {}, or pass --data PATH", names[0], place, task);
  throw input_error("eval", data, "does not exist or holds no {}; pass --data PATH, a problem set in HumanEval's form", names[0]);
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
  const auto path = require_problems(job, "humaneval", {"HumanEval.jsonl", "HumanEval.jsonl.gz", "humaneval.jsonl", "humaneval.jsonl.gz", "human-eval.jsonl", "human-eval.jsonl.gz"});
  run_program_task(job, {.name = "humaneval", .protocol = kBaseProtocol, .problems = path, .max_new_tokens = 512, .add_special = true});
}

// One row a language, and the mean of all eight: null while a language could not be run (details.partial names those that were).
void run_humaneval_mul(EvalJob& job) {
  require_base_protocol(job, "humaneval-mul");
  const auto& asked = job.options.languages;
  Json partial = Json::object();
  double sum = 0;
  for (const std::string language : {"python", "cpp", "java", "cs", "ts", "js", "php", "sh"}) {
    if (!asked.empty() && std::find(asked.begin(), asked.end(), language) == asked.end()) continue;
    job.context.check_interrupted();
    const std::string file = "humaneval-" + language + ".jsonl";
    const auto path = require_problems(job, "humaneval-mul", {file, file + ".gz"});
    const auto value = run_program_task(job, {.name = "humaneval-mul/" + language, .protocol = kBaseProtocol, .problems = path, .max_new_tokens = 500, .add_special = true});
    if (!value) continue;
    sum += *value;
    partial[language] = *value;
  }
  constexpr size_t kLanguages = 8;
  const bool complete = partial.size() == kLanguages;
  Json task = {{"name", "humaneval-mul"}, {"metric", "pass@1, mean of eight languages"}, {"value", complete ? Json(sum / kLanguages) : Json(nullptr)}, {"stderr", nullptr},
               {"ci95", nullptr}, {"n", partial.size()}, {"per_item", Json::array()}, {"details", {{"partial", partial}}}};
  if (!complete) task["not_run"] = fmt::format("{} of {} languages were run; the mean is over all of them or none", partial.size(), kLanguages);
  job.add_task(std::move(task));
}

}  // namespace teeny
