#include "eval/checks.h"

#include "teeny/core/error.h"
#include "teeny/stats/tests.h"

namespace teeny {
namespace {

std::string points(double fraction) { return fmt::format("{:.2f}", 100 * fraction); }

// The loss in points that one comparison shows, and whether it passes; nullopt: the comparison says nothing of a loss.
struct Finding {
  bool passed = true;
  std::string message;
};

Finding judge_comparison(const EvalOptions& options, const Json& comparison) {
  const std::string task = comparison["task"];
  const auto detect = comparison["detectable_difference"];
  const std::string power = detect.is_number() ? fmt::format("; this test could have detected a difference of {} points", points(detect.get<double>())) : "";
  if (!comparison["ci95"].is_array()) return {false, fmt::format("{}: too few problems ({}) for an interval of the loss", task, comparison["n"].get<int64_t>())};
  const double loss = -comparison["difference"].get<double>(), lower = -comparison["ci95"][1].get<double>(), upper = -comparison["ci95"][0].get<double>();
  const std::string shown = fmt::format("{}: loss {} points against {}, 95 % interval {} to {}", task, points(loss), comparison["reference"].get<std::string>(),
                                        points(lower), points(upper));
  if (options.fail_if_loss >= 0 && 100 * lower > options.fail_if_loss)
    return {false, fmt::format("{}: its lower bound exceeds --fail-if-loss {}{}", shown, options.fail_if_loss, power)};
  if (options.require_loss_below >= 0 && !(100 * upper < options.require_loss_below))
    return {false, fmt::format("{}: its upper bound is not below --require-loss-below {}{}", shown, options.require_loss_below, power)};
  return {true, shown + power};
}
}  // namespace

void adjust_for_multiplicity(std::deque<EvalJob>& jobs) {
  // A difference and an equivalence are claims alike: whichever has a p.
  std::vector<Json*> claims;
  for (auto& job : jobs)
    for (auto& c : job.comparisons()) {
      if (c["p"].is_number()) claims.push_back(&c);
      if (c.contains("details") && c["details"].contains("equivalence") && c["details"]["equivalence"]["p"].is_number()) claims.push_back(&c["details"]["equivalence"]);
    }
  std::vector<double> p;
  for (const Json* claim : claims) p.push_back((*claim)["p"].get<double>());
  const auto adjusted = holm(p);
  for (size_t i = 0; i < claims.size(); ++i) {
    (*claims[i])["p_holm"] = adjusted[i];
    if (claims[i]->contains("equivalent")) (*claims[i])["equivalent"] = adjusted[i] <= 0.05;
  }
}

bool run_checks(EvalJob& job) {
  const auto& options = job.options;
  if (options.fail_if_loss < 0 && options.require_loss_below < 0) return true;
  bool passed = true, any = false;
  std::string message;
  for (const auto& comparison : job.comparisons()) {
    if (comparison["task"] == "ppl") continue;
    any = true;
    const auto finding = judge_comparison(options, comparison);
    if (finding.passed && !passed) continue;
    if (!finding.passed && passed) message.clear();
    passed = passed && finding.passed;
    message += (message.empty() ? "" : "; ") + finding.message;
  }
  // A check that could not be made has not been passed.
  if (!any) passed = false, message = "no code task was run, so no loss could be measured";
  job.details()["check"] = {{"passed", passed}, {"message", message}};
  if (options.fail_if_loss >= 0) job.details()["check"]["fail_if_loss"] = options.fail_if_loss;
  if (options.require_loss_below >= 0) job.details()["check"]["require_loss_below"] = options.require_loss_below;
  if (!passed) job.context.warn("check-failed", options.also.empty() ? message : job.model().path() + ": " + message);
  return passed;
}

}  // namespace teeny
