#include "teeny/stats/describe.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "teeny/core/error.h"

namespace teeny {

double mean(std::span<const double> values) {
  TEENY_ASSERT(!values.empty());
  long double sum = 0;
  for (double v : values) sum += v;
  return double(sum / static_cast<long double>(values.size()));
}

double standard_error(std::span<const double> values) {
  double m = mean(values);
  if (values.size() < 2) return 0;
  long double squares = 0;
  for (double v : values) squares += static_cast<long double>(v - m) * (v - m);
  double n = double(values.size());
  return std::sqrt(double(squares) / (n - 1) / n);
}

double percentile(std::span<const double> values, double q) {
  TEENY_ASSERT(!values.empty() && q >= 0 && q <= 100);
  std::vector<double> sorted(values.begin(), values.end());
  double position = q / 100 * double(sorted.size() - 1);
  size_t below = size_t(position);
  std::nth_element(sorted.begin(), sorted.begin() + ptrdiff_t(below), sorted.end());
  double low = sorted[below], fraction = position - double(below);
  if (fraction == 0) return low;
  double high = *std::min_element(sorted.begin() + ptrdiff_t(below) + 1, sorted.end());
  return low + (high - low) * fraction;
}

double median(std::span<const double> values) { return percentile(values, 50); }

double median_absolute_deviation(std::span<const double> values) {
  double m = median(values);
  std::vector<double> deviations;
  for (double v : values) deviations.push_back(std::abs(v - m));
  return median(deviations);
}

}  // namespace teeny
