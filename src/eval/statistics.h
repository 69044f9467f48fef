// The intervals and tests of eval's tasks, with the fixed resampling that makes a record reproducible.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "teeny/core/json.h"

namespace teeny {

using Interval95 = std::optional<std::pair<double, double>>;

// Mean of independent units (windows, problems): standard error, and a bootstrap interval over the units. Fewer than two
// units have neither.
struct MeanEstimate {
  double mean = 0;
  std::optional<double> standard_error;
  Interval95 ci95;
};
MeanEstimate estimate_mean(const std::vector<double>& units);

// f(mean of a) - f(mean of b) for paired units, f = identity or exp; the units are resampled together.
struct PairedDifference {
  double difference = 0;
  Interval95 ci95;
};
enum class Transform { Identity, Exp };
PairedDifference paired_difference(const std::vector<double>& a, const std::vector<double>& b, Transform transform);

double pass_at_k(int64_t samples, int64_t passed, int64_t k);
Interval95 wilson95(int64_t passed, int64_t n);
double mcnemar_exact(int64_t lost, int64_t gained);  // two-sided
std::vector<double> holm(const std::vector<double>& p);
// The smallest difference (a fraction) that McNemar's test sees with 80 % power at 5 %, given how often the two disagree.
std::optional<double> detectable_difference(int64_t n, int64_t discordant);

Json to_json(const Interval95& interval);                // [lo, hi] or null
Json to_json(const std::optional<double>& number);
double quantile(std::vector<double> values, double q);  // linear between order statistics

}  // namespace teeny
