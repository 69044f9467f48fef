// The code tasks: which problems, which protocol. How programs are generated and judged is in programs.cpp.
#include <algorithm>

#include "eval/completions.h"
#include "eval/statistics.h"
#include "teeny/core/env.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

constexpr const char* kBaseWords = "base: prompt as it stands, cut at the language's stop strings";
constexpr const char* kInstructWords = "instruct: the prompt in a fenced block in an instruction, through the chat template; the answer's first block of code (instruct-1)";

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

// The two protocols of a task: its own limits of new tokens, and how the prompt is put.
ProgramTask with_protocol(EvalJob& job, ProgramTask task, int64_t base_tokens, int64_t instruct_tokens) {
  task.instruct = wants_instruct(job);
  task.protocol = task.instruct ? kInstructWords : kBaseWords;
  task.max_new_tokens = task.instruct ? instruct_tokens : base_tokens;
  task.add_special = true;
  return task;
}

// The mean over the languages of what each problem scored; problems, with all their translations, are what is resampled.
struct LanguageMean {
  MeanEstimate estimate;
  int64_t problems = 0;
};
LanguageMean mean_over_languages(const EvalJob& job, const std::function<std::optional<double>(const EvalJob::Outcome&)>& value) {
  std::vector<double> values, weights;
  std::vector<int64_t> clusters;
  std::map<std::string, int64_t> numbers;
  for (const auto& [task, outcomes] : job.outcomes) {
    if (!task.starts_with("humaneval-mul/")) continue;
    for (const auto& o : outcomes)
      if (const auto v = value(o)) {
        values.push_back(*v);
        weights.push_back(1 / double(outcomes.size()));
        clusters.push_back(numbers.try_emplace(o.problem, int64_t(numbers.size())).first->second);
      }
  }
  return {estimate_clustered_mean(values, weights, clusters), int64_t(numbers.size())};
}

Json comparison_over_languages(EvalJob& job) {
  auto d = mean_over_languages(job, [](const EvalJob::Outcome& o) { return o.theirs ? std::optional(o.ours - *o.theirs) : std::nullopt; });
  widen_difference(d.estimate, d.problems);
  Json out = {{"reference", job.reference()->path()}, {"task", "humaneval-mul"}, {"difference", d.problems ? Json(d.estimate.mean) : Json(nullptr)},
              {"ci95", interval_json(d.estimate.ci95)}, {"test", "clustered-bootstrap"}, {"p", number_json(d.estimate.p)}, {"p_holm", nullptr},
              {"gained", Json::array()}, {"lost", Json::array()}, {"detectable_difference", number_json(detectable_by(d.estimate))}, {"n", d.problems},
              {"details", {{"units", "problems, each with all its translations"}}}};
  if (job.options.equivalence_margin >= 0) out["details"]["equivalence"] = equivalence_json(d.estimate, job.options.equivalence_margin / 100, d.problems);
  return out;
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
  const auto path = require_problems(job, "humaneval", {"HumanEval.jsonl", "HumanEval.jsonl.gz", "humaneval.jsonl", "humaneval.jsonl.gz", "human-eval.jsonl", "human-eval.jsonl.gz"});
  run_program_task(job, with_protocol(job, {.name = "humaneval", .protocol = "", .problems = path}, 512, 1024));
}

// One row a language, and the mean of all eight: null while a language could not be run (details.partial names those that were).
void run_humaneval_mul(EvalJob& job) {
  const auto& asked = job.options.languages;
  Json partial = Json::object(), missing = Json::object();
  double sum = 0;
  for (const std::string language : {"python", "cpp", "java", "cs", "ts", "js", "php", "sh"}) {
    if (!asked.empty() && std::find(asked.begin(), asked.end(), language) == asked.end()) {
      missing[language] = "not asked for";
      continue;
    }
    job.context.check_interrupted();
    const std::string file = "humaneval-" + language + ".jsonl";
    const auto path = require_problems(job, "humaneval-mul", {file, file + ".gz"});
    const auto value = run_program_task(job, with_protocol(job, {.name = "humaneval-mul/" + language, .protocol = "", .problems = path}, 500, 1024));
    if (!value) {
      missing[language] = "not run";
      continue;
    }
    sum += *value;
    partial[language] = *value;
  }
  constexpr size_t kLanguages = 8;
  const bool complete = partial.size() == kLanguages;
  auto [estimate, problems] = mean_over_languages(job, [](const EvalJob::Outcome& o) { return std::optional(o.ours); });
  widen_share(estimate, problems);
  Json task = {{"name", "humaneval-mul"}, {"metric", "pass@1, mean of eight languages"}, {"value", complete ? Json(sum / kLanguages) : Json(nullptr)},
               {"stderr", complete ? number_json(estimate.standard_error) : Json(nullptr)}, {"ci95", complete ? interval_json(estimate.ci95) : Json(nullptr)},
               {"n", partial.size()}, {"per_item", Json::array()}, {"details", {{"partial", partial}, {"not_run", missing}}}};
  if (!complete) task["not_run"] = fmt::format("{} of {} languages were run; the mean is over all of them or none", partial.size(), kLanguages);
  job.add_task(std::move(task));
  if (job.reference() && partial.size() > 1) job.add_comparison(comparison_over_languages(job));
}

}  // namespace teeny
