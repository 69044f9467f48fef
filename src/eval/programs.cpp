#include "eval/programs.h"

#include <algorithm>
#include <cmath>

#include "eval/completions.h"
#include "eval/judge_queue.h"
#include "eval/program_compare.h"
#include "eval/statistics.h"
#include "teeny/core/error.h"
#include "teeny/stats/intervals.h"
#include "teeny/stats/pass_at_k.h"

namespace teeny {
namespace {

// Empty: programs of this language can be judged here. Else the reason, for the record.
std::string unavailable(EvalJob& job, const std::string& language) {
  if (job.judge().sandbox().tier == "none")
    return "no sandbox: programs written by a model run only in one; install bubblewrap (teeny doctor says what is missing), or pass --i-accept-unsandboxed";
  const Json tools = job.judge().toolchain(language);
  return tools.value("state", "") == "ok" ? "" : fmt::format("no tools for {}: {}", language, tools.value("problem", "not found"));
}

// pass@k over problems, with the interval that fits: Wilson for one greedy sample, else a bootstrap over problems.
struct PassAt {
  double value = 0;
  std::optional<double> standard_error;
  Interval95 ci95;
};

PassAt pass_at(const std::vector<ProblemResult>& results, int64_t k) {
  std::vector<double> rates;
  int64_t passed = 0;
  bool single = k == 1;
  for (const auto& r : results) {
    if (r.samples < k) continue;  // could not be judged
    rates.push_back(pass_at_k(r.samples, r.passed, k));
    passed += r.passed;
    single = single && r.samples == 1;
  }
  PassAt out;
  auto estimate = estimate_mean(rates);
  widen_share(estimate, int64_t(rates.size()));
  out.value = estimate.mean;
  out.standard_error = estimate.standard_error;
  out.ci95 = estimate.ci95;
  if (single && !rates.empty()) {
    const auto wilson = wilson_interval(passed, int64_t(rates.size()));
    out.ci95 = {wilson.low, wilson.high};
    out.standard_error = std::sqrt(out.value * (1 - out.value) / double(rates.size()));
  }
  return out;
}

Json task_details(const EvalJob& job, const ProgramTask& task, const ProgramSettings& settings, const std::vector<ProblemResult>& results) {
  int64_t degenerate = 0;
  Json unjudged = Json::array();
  for (const auto& r : results) {
    degenerate += r.degenerate;
    if (r.samples == 0) unjudged.push_back(r.task_id);
  }
  Json out = {{"protocol", task.protocol}, {"problems", task.problems}, {"problems_sha256", settings.problems_sha256}, {"language", settings.language}};
  if (job.has_model())
    out.update({{"max_new_tokens", settings.params.max_new_tokens}, {"temperature", settings.params.temperature}, {"samples_per_task", settings.samples}});
  else
    out["completions"] = job.options.score_completions;
  out["instruct"] = settings.instruct;
  out["protocol_sha256"] = sha256_hex(settings.protocol + (settings.instruct ? std::string(kInstructProtocol) + instruct_prompt({}) : "")).substr(0, 16);
  out["degenerate"] = degenerate;
  // Of every sample that failed; the problems by the category of their first failure.
  Json errors = Json::object(), by_category = Json::object();
  for (const auto& r : results) {
    for (const auto& [category, count] : r.categories) errors[category] = errors.value(category, int64_t(0)) + count;
    if (r.samples > r.passed) by_category[r.category].push_back(r.task_id);
  }
  out["errors"] = errors;
  out["problems_by_error"] = by_category;
  out["not_judged"] = unjudged;
  return out;
}

Json not_run(const ProgramTask& task, int64_t k, const std::string& reason) {
  return {{"name", task.name}, {"metric", fmt::format("pass@{}", k)}, {"value", nullptr}, {"stderr", nullptr}, {"ci95", nullptr}, {"n", 0},
          {"per_item", Json::array()}, {"details", {{"protocol", task.protocol}}}, {"not_run", reason}};
}

Json scored_task(const EvalJob& job, const ProgramTask& task, const ProgramSettings& settings, const std::vector<ProblemResult>& results) {
  const auto& ks = job.options.pass_at;
  const int64_t k = ks.empty() ? 1 : ks.front();
  const auto score = pass_at(results, k);
  int64_t n = 0;
  Json items = Json::array();
  for (const auto& r : results) {
    n += r.samples >= k;
    if (r.samples > 0) items.push_back(to_json(r));  // what could not be judged says nothing of the model: details.not_judged
  }
  if (n == 0) return not_run(task, k, "no program could be judged");
  Json out = {{"name", task.name}, {"metric", fmt::format("pass@{}", k)}, {"value", score.value}, {"stderr", number_json(score.standard_error)},
              {"ci95", interval_json(score.ci95)}, {"n", n}, {"per_item", items}, {"details", task_details(job, task, settings, results)}};
  for (size_t i = 1; i < ks.size(); ++i) {
    const auto other = pass_at(results, ks[i]);
    out["details"][fmt::format("pass@{}", ks[i])] = {{"value", other.value}, {"stderr", number_json(other.standard_error)}, {"ci95", interval_json(other.ci95)}};
  }
  return out;
}

std::vector<ProblemResult> results_of_model(EvalJob& job, const ProgramSettings& settings, bool judged) {
  if (!job.has_model()) return judge_file(job, settings, job.options.score_completions);
  return generate_and_judge(job, settings, job.model().get(job.context), judged, true);
}

// HumanEval's number of a problem: Python/23, HumanEval/23 and HumanEval_23_strlen are one and the same.
std::string problem_number(const std::string& task_id) {
  const size_t digit = task_id.find_first_of("0123456789");
  if (digit == std::string::npos) return task_id;
  return task_id.substr(digit, task_id.find_first_not_of("0123456789", digit) - digit);
}

void keep_outcomes(EvalJob& job, const ProgramTask& task, const std::vector<ProblemResult>& ours, const std::vector<ProblemResult>* theirs) {
  std::map<std::string, double> rates;
  if (theirs)
    for (const auto& r : *theirs)
      if (r.samples) rates[r.task_id] = r.rate();
  for (const auto& r : ours) {
    if (r.samples == 0 || (theirs && !rates.contains(r.task_id))) continue;
    job.outcomes[task.name].push_back({problem_number(r.task_id), r.rate(), theirs ? std::optional(rates[r.task_id]) : std::nullopt});
  }
}
}  // namespace

Json to_json(const ProblemResult& r) {
  Json out = {{"task_id", r.task_id}, {"passed", nullptr}, {"category", r.category}};
  if (r.samples == 1)
    out["passed"] = r.passed == 1;
  else if (r.samples > 1)
    out.update({{"passed", r.passed == r.samples}, {"samples", r.samples}, {"samples_passed", r.passed}});
  out["completion_sha256"] = r.completion_sha256;
  if (r.samples > 1) out["categories"] = r.categories;
  if (r.degenerate) out["degenerate"] = true;
  return out;
}

ProblemResult problem_result_from_json(const Json& json) {
  ProblemResult r;
  r.task_id = json.at("task_id").get<std::string>();
  r.category = json.at("category").get<std::string>();
  r.completion_sha256 = json.value("completion_sha256", "");
  r.degenerate = json.value("degenerate", false);
  if (json.contains("samples")) {
    r.samples = json.at("samples").get<int64_t>();
    r.passed = json.at("samples_passed").get<int64_t>();
  } else if (json.at("passed").is_boolean()) {
    r.samples = 1;
    r.passed = json.at("passed").get<bool>();
  }
  if (json.contains("categories")) r.categories = json.at("categories").get<std::map<std::string, int64_t>>();
  else if (r.samples > r.passed) r.categories[r.category] = r.samples - r.passed;
  return r;
}

bool repeats_itself(const std::string& text) {
  constexpr size_t kLongestPiece = 64, kRepeats = 6;
  for (size_t piece = 1; piece <= kLongestPiece && piece * kRepeats <= text.size(); ++piece) {
    size_t matching = 0;  // characters at the end that equal the one `piece` before
    while (matching + piece < text.size() && text[text.size() - 1 - matching] == text[text.size() - 1 - matching - piece]) ++matching;
    const size_t run = matching + piece;
    if (run >= kRepeats * piece && run >= 24 && 2 * run >= text.size()) return true;
  }
  return false;
}

std::optional<double> run_program_task(EvalJob& job, const ProgramTask& task) {
  const int64_t k = job.options.pass_at.empty() ? 1 : job.options.pass_at.front();
  const auto settings = make_settings(job, task);
  const std::string reason = unavailable(job, settings.language);
  if (!reason.empty()) {
    job.context.warn("not-run", task.name + " was not run: " + reason);
    if (job.has_model() && !job.options.save_completions.empty()) results_of_model(job, settings, false);
    job.add_task(not_run(task, k, reason));
    return std::nullopt;
  }
  if (settings.problems.empty()) {
    job.add_task(not_run(task, k, job.options.score_completions + " holds no completion of this problem set"));
    return std::nullopt;
  }
  const auto results = results_of_model(job, settings, true);
  for (const auto& r : results)
    for (const auto& [category, count] : r.categories) job.count_error(category, count);
  const Json scored = scored_task(job, task, settings, results);
  job.add_task(scored);
  if (job.reference()) {
    bool cached = false;
    const auto reference = reference_results(job, settings, cached);
    job.add_comparison(compare_programs(job.reference()->path(), task.name, results, reference, cached, job.options.equivalence_margin));
    keep_outcomes(job, task, results, &reference);
  } else {
    keep_outcomes(job, task, results, nullptr);
  }
  return scored["value"].is_number() ? std::optional(scored["value"].get<double>()) : std::nullopt;
}

}  // namespace teeny
