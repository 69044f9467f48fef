// KL(reference || model) in nats, mean over the positions that ppl scores, and how often both rank the same token first.
#include <algorithm>

#include "eval/job.h"
#include "eval/statistics.h"
#include "teeny/core/error.h"
#include "teeny/stats/describe.h"

namespace teeny {

void run_kld(EvalJob& job) {
  const auto& text = job.text();
  const auto& pass = job.text_pass();
  std::vector<double> means, all;
  int64_t same_top = 0, bad = 0;
  for (const auto& window : pass.divergence) {
    means.push_back(window.mean());
    all.insert(all.end(), window.kl.begin(), window.kl.end());
    same_top += window.same_top;
    bad += !window.finite;
  }
  Json task = {{"name", "kld"}, {"metric", "KL(reference || model), nats"}};
  Json details = {{"protocol", text.protocol}, {"ctx", text.ctx}, {"windows", text.windows.size()}, {"text", text.path}, {"text_sha256", text.sha256},
                  {"text_tokens", text.tokens}, {"reference", job.reference()->path()}, {"reference_fingerprint", job.reference()->fingerprint()}};
  if (bad) {
    task.update({{"value", nullptr}, {"stderr", nullptr}, {"ci95", nullptr}, {"n", all.size()}, {"per_item", Json::array()}, {"details", details}});
    task["not_run"] = fmt::format("the logits of {} of {} windows are not finite in one of the models", bad, pass.divergence.size());
    job.context.warn("non-finite-logits", "kld has no value: " + task["not_run"].get<std::string>() + "; check the models with teeny inspect --verify");
    return job.add_task(std::move(task));
  }
  const auto estimate = estimate_mean(means);
  details["median"] = median(all);
  details["p99_9"] = percentile(all, 99.9);
  details["max"] = *std::max_element(all.begin(), all.end());
  details["top1_agreement"] = double(same_top) / double(all.size());
  details["per_item"] = "mean of a window, nats";
  task.update({{"value", estimate.mean}, {"stderr", number_json(estimate.standard_error)}, {"ci95", interval_json(estimate.ci95)}, {"n", all.size()}, {"per_item", means}, {"details", details}});
  job.add_task(std::move(task));
}

}  // namespace teeny
