// What eval's tasks add to stats/: intervals as the record writes them, absent where a sample is too small for one.
#pragma once
#include <optional>
#include <utility>
#include <vector>

#include "teeny/core/json.h"

namespace teeny {

using Interval95 = std::optional<std::pair<double, double>>;

// Mean of independent units (windows, problems): standard error, and a bootstrap interval over the units. Fewer than two
// units have neither. The resampling is fixed, so that a record can be reproduced.
struct MeanEstimate {
  double mean = 0;
  std::optional<double> standard_error;
  Interval95 ci95;
  std::optional<double> p;  // that the true mean is 0 (bootstrap, two-sided)
};
MeanEstimate estimate_mean(const std::vector<double>& units);

// Weighted mean; units of one cluster are resampled together.
MeanEstimate estimate_clustered_mean(const std::vector<double>& units, const std::vector<double>& weights, const std::vector<int64_t>& clusters);

// The smallest true difference that a two-sided test at 5 % with this standard error finds with 80 % probability.
std::optional<double> detectable_by(const MeanEstimate& estimate);

// {margin, p, equivalent}: two one-sided tests on the bootstrap's spread, taken as normal; units: problems, for the case
// that none differs.
Json equivalence_json(const MeanEstimate& estimate, double margin, int64_t units);

// Where no two units differ a bootstrap's interval is a point, which says more than was seen. Then the score interval of as
// many outcomes stands in its place: Wilson's for shares that are all 0 or all 1, Tango's for differences that are all 0.
void widen_share(MeanEstimate& estimate, int64_t units);
void widen_difference(MeanEstimate& estimate, int64_t units);

// Mean of a[i] - b[i]; whole pairs are resampled.
MeanEstimate estimate_difference(const std::vector<double>& a, const std::vector<double>& b);

Json interval_json(const Interval95& interval);  // [lo, hi] or null
Json number_json(const std::optional<double>& number);

}  // namespace teeny
