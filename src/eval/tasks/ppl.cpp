// Perplexity: exp of the mean negative log-likelihood over the scored tokens (protocols in docs/evaluation.md).
#include <cmath>

#include "eval/job.h"
#include "eval/statistics.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

std::vector<double> window_means(const std::vector<WindowScore>& scores) {
  std::vector<double> out;
  for (const auto& s : scores) out.push_back(s.mean());
  return out;
}

int64_t count_bad(const std::vector<WindowScore>& scores) {
  int64_t bad = 0;
  for (const auto& s : scores) bad += !s.finite;
  return bad;
}

Json text_details(const TextWindows& text) {
  return {{"protocol", text.protocol}, {"ctx", text.ctx},        {"windows", text.windows.size()}, {"text", text.path},
          {"text_sha256", text.sha256}, {"text_tokens", text.tokens}};
}

Json ppl_task(const TextWindows& text, const std::vector<WindowScore>& scores) {
  const auto means = window_means(scores);  // every window scores the same number of tokens: their mean is the mean over tokens
  const auto estimate = estimate_mean(means);
  int64_t scored = 0;
  for (const auto& s : scores) scored += s.scored;
  Json task = {{"name", "ppl"}, {"metric", "perplexity"}};
  const int64_t bad = count_bad(scores);
  const double ppl = std::exp(estimate.mean);
  task["value"] = bad ? Json(nullptr) : Json(ppl);
  // Delta method: d exp(m) = exp(m) dm.
  task["stderr"] = bad || !estimate.standard_error ? Json(nullptr) : Json(ppl * *estimate.standard_error);
  task["ci95"] = bad || !estimate.ci95 ? Json(nullptr) : Json::array({std::exp(estimate.ci95->first), std::exp(estimate.ci95->second)});
  task["n"] = scored;
  task["per_item"] = bad ? Json::array() : Json(means);
  task["details"] = text_details(text);
  task["details"]["per_item"] = "mean nll of a window, nats per token";
  if (bad) task["not_run"] = fmt::format("the logits of {} of {} windows are not finite", bad, scores.size());
  return task;
}

// The paired quantity is the difference of the windows' nll, i.e. the log of the ratio of perplexities; its interval is
// carried to the difference at the reference's value.
Json ppl_comparison(const std::string& reference, const TextPass& pass) {
  const auto ours = window_means(pass.model), theirs = window_means(pass.reference);
  const auto log_ratio = estimate_difference(ours, theirs);
  const double reference_value = std::exp(estimate_mean(theirs).mean);
  const auto difference = [&](double log) { return reference_value * std::expm1(log); };
  Interval95 ci95;
  if (log_ratio.ci95) ci95 = {difference(log_ratio.ci95->first), difference(log_ratio.ci95->second)};
  const auto ratio = detectable_by(log_ratio);
  const Json detectable = ratio ? Json(difference(*ratio)) : Json(nullptr);
  return {{"reference", reference}, {"task", "ppl"}, {"difference", difference(log_ratio.mean)}, {"ci95", interval_json(ci95)}, {"test", "paired-bootstrap"},
          {"p", number_json(log_ratio.p)}, {"p_holm", nullptr}, {"gained", Json::array()}, {"lost", Json::array()}, {"detectable_difference", detectable}, {"n", ours.size()},
          {"details", {{"reference_value", reference_value}, {"log_ratio", log_ratio.mean}, {"log_ratio_ci95", interval_json(log_ratio.ci95)}, {"units", "windows"}}}};
}
}  // namespace

void run_ppl(EvalJob& job) {
  const auto& text = job.text();
  const auto& pass = job.text_pass();
  Json task = ppl_task(text, pass.model);
  if (!task["value"].is_number()) job.context.warn("non-finite-logits", "perplexity has no value: " + task["not_run"].get<std::string>() + "; check the model with teeny inspect --verify");
  const bool comparable = task["value"].is_number() && !pass.reference.empty() && count_bad(pass.reference) == 0;
  job.add_task(std::move(task));
  if (comparable) job.add_comparison(ppl_comparison(job.reference()->path(), pass));
}

}  // namespace teeny
