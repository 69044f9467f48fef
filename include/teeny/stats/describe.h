// Summaries of samples. Every function throws Bug for an empty sample.
#pragma once
#include <span>

namespace teeny {

double mean(std::span<const double> values);
// Standard error of the mean, sd / sqrt(n) with n - 1 in the variance; 0 for a single value.
double standard_error(std::span<const double> values);
// Percentile q in [0, 100], linear between order statistics (numpy's default).
double percentile(std::span<const double> values, double q);
double median(std::span<const double> values);
// Median of |x - median|, not scaled.
double median_absolute_deviation(std::span<const double> values);

}  // namespace teeny
