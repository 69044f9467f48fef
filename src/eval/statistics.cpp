#include "eval/statistics.h"

#include <cmath>
#include <set>

#include "teeny/core/error.h"
#include "teeny/stats/describe.h"
#include "teeny/stats/equivalence.h"
#include "teeny/stats/intervals.h"

namespace teeny {

MeanEstimate estimate_mean(const std::vector<double>& units) {
  MeanEstimate out;
  if (units.empty()) return out;
  out.mean = mean(units);
  if (units.size() < 2) return out;
  out.standard_error = standard_error(units);
  const auto bootstrap = bootstrap_mean(units);
  out.ci95 = {bootstrap.ci.low, bootstrap.ci.high};
  out.p = bootstrap.p_zero;
  return out;
}

MeanEstimate estimate_clustered_mean(const std::vector<double>& units, const std::vector<double>& weights, const std::vector<int64_t>& clusters) {
  MeanEstimate out;
  if (units.empty()) return out;
  const auto bootstrap = bootstrap_clustered_mean(units, weights, clusters);
  out.mean = bootstrap.value;
  if (std::set<int64_t>(clusters.begin(), clusters.end()).size() < 2) return out;
  out.standard_error = bootstrap.standard_error;
  out.ci95 = {bootstrap.ci.low, bootstrap.ci.high};
  out.p = bootstrap.p_zero;
  return out;
}

std::optional<double> detectable_by(const MeanEstimate& estimate) {
  constexpr double kFactor = 1.959963984540054 + 0.8416212335729143;  // normal quantiles of 97.5 % and 80 %
  return estimate.standard_error ? std::optional(kFactor * *estimate.standard_error) : std::nullopt;
}

void widen_share(MeanEstimate& estimate, int64_t units) {
  if (units < 1 || (estimate.mean != 0 && estimate.mean != 1)) return;
  const auto wilson = wilson_interval(estimate.mean == 1 ? units : 0, units);
  estimate.ci95 = {wilson.low, wilson.high};
}

void widen_difference(MeanEstimate& estimate, int64_t units) {
  if (units < 1 || !estimate.ci95 || estimate.ci95->first != 0 || estimate.ci95->second != 0) return;
  const auto score = tango_interval(units, 0, 0);
  estimate.ci95 = {score.low, score.high};
}

Json equivalence_json(const MeanEstimate& estimate, double margin, int64_t units) {
  if (!estimate.standard_error) return {{"margin", margin}, {"p", nullptr}, {"equivalent", nullptr}};
  if (*estimate.standard_error == 0 && estimate.mean == 0) {
    const double p = tost_paired(units, 0, 0, std::min(margin, 0.999));
    return {{"margin", margin}, {"p", p}, {"equivalent", p <= 0.05}};
  }
  double p = 0;
  for (const double distance : {margin - estimate.mean, margin + estimate.mean}) {
    const double tail = *estimate.standard_error > 0 ? 0.5 * std::erfc(distance / *estimate.standard_error / std::sqrt(2.0)) : distance > 0 ? 0 : 1;
    p = std::max(p, tail);
  }
  return {{"margin", margin}, {"p", p}, {"equivalent", p <= 0.05}};
}

MeanEstimate estimate_difference(const std::vector<double>& a, const std::vector<double>& b) {
  TEENY_ASSERT(a.size() == b.size());
  std::vector<double> difference;
  for (size_t i = 0; i < a.size(); ++i) difference.push_back(a[i] - b[i]);
  return estimate_mean(difference);
}

Json interval_json(const Interval95& interval) { return interval ? Json::array({interval->first, interval->second}) : Json(nullptr); }
Json number_json(const std::optional<double>& number) { return number ? Json(*number) : Json(nullptr); }

}  // namespace teeny
