#include "eval/statistics.h"

#include "teeny/core/error.h"
#include "teeny/stats/describe.h"
#include "teeny/stats/intervals.h"

namespace teeny {

MeanEstimate estimate_mean(const std::vector<double>& units) {
  MeanEstimate out;
  if (units.empty()) return out;
  out.mean = mean(units);
  if (units.size() < 2) return out;
  out.standard_error = standard_error(units);
  const auto ci = bootstrap_mean(units).ci;
  out.ci95 = {ci.low, ci.high};
  return out;
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
