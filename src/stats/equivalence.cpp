#include "teeny/stats/equivalence.h"

#include <algorithm>
#include <cmath>

#include "teeny/core/error.h"

namespace teeny {
namespace {
double upper_tail(double z) { return 0.5 * std::erfc(z / std::sqrt(2.0)); }
}  // namespace

double tango_z(int64_t n, int64_t gained, int64_t lost, double delta) {
  TEENY_ASSERT(n > 0 && gained >= 0 && lost >= 0 && gained + lost <= n && std::abs(delta) < 1);
  const double N = double(n), b = double(gained), c = double(lost);
  // q is the most likely share of `lost` when the share of `gained` is q + delta: the larger root of 2N q^2 + B q + C = 0.
  const double B = -b - c + (2 * N - b + c) * delta, C = -c * delta * (1 - delta);
  const double q = (std::sqrt(std::max(0.0, B * B - 8 * N * C)) - B) / (4 * N);
  const double variance = N * (2 * q + delta * (1 - delta));
  const double difference = b - c - N * delta;
  if (variance <= 0) return difference == 0 ? 0 : std::copysign(INFINITY, difference);
  return difference / std::sqrt(variance);
}

Interval tango_interval(int64_t n, int64_t gained, int64_t lost, double z) {
  const auto where = [&](double wanted) {  // tango_z falls as delta grows
    double low = -1 + 1e-12, high = 1 - 1e-12;
    while (high - low > 1e-10) {
      const double middle = (low + high) / 2;
      (tango_z(n, gained, lost, middle) > wanted ? low : high) = middle;
    }
    return (low + high) / 2;
  };
  return {where(z), where(-z)};
}

double tost_paired(int64_t n, int64_t gained, int64_t lost, double margin) {
  TEENY_ASSERT(margin >= 0 && margin < 1);
  const double not_worse = upper_tail(tango_z(n, gained, lost, -margin));  // small: surely above -margin
  const double not_better = upper_tail(-tango_z(n, gained, lost, margin));
  return std::max(not_worse, not_better);
}

}  // namespace teeny
