#include "teeny/stats/tests.h"

#include <math.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "teeny/core/error.h"

namespace teeny {
namespace {

long double log_gamma(long double x) {
  int sign = 0;
  return lgammal_r(x, &sign);  // lgamma writes a global
}

// log P(X = k), X ~ Binomial(n, p)
long double log_binomial(int64_t n, int64_t k, long double p) {
  if (p <= 0) return k == 0 ? 0 : -INFINITY;
  if (p >= 1) return k == n ? 0 : -INFINITY;
  return log_gamma(static_cast<long double>(n) + 1) - log_gamma(static_cast<long double>(k) + 1) -
         log_gamma(static_cast<long double>(n - k) + 1) + static_cast<long double>(k) * std::log(p) +
         static_cast<long double>(n - k) * std::log1p(-p);
}

// P(X <= k), summed from its largest term down, each term from the one before.
long double binomial_lower_tail(int64_t n, int64_t k, long double p) {
  if (k < 0) return 0;
  if (k >= n) return 1;
  if (p <= 0) return 1;
  if (p >= 1) return 0;
  if (static_cast<long double>(k) > p * static_cast<long double>(n)) return 1 - binomial_lower_tail(n, n - k - 1, 1 - p);
  long double term = std::exp(log_binomial(n, k, p)), sum = 0, odds = (1 - p) / p;
  for (int64_t i = k; i >= 0 && term > 0; --i) {
    sum += term;
    if (term < sum * 1e-22L) break;
    term *= static_cast<long double>(i) / static_cast<long double>(n - i + 1) * odds;
  }
  return std::min<long double>(sum, 1);
}

// The largest c such that (c, m - c) is significant; -1 when no outcome is.
int64_t critical_value(int64_t m, double alpha) {
  int64_t low = -1, high = m / 2 + 1;  // significant at low, not at high
  while (high - low > 1) {
    int64_t middle = (low + high) / 2;
    (mcnemar_exact(middle, m - middle) <= alpha ? low : high) = middle;
  }
  return low;
}

}  // namespace

double mcnemar_exact(int64_t gained, int64_t lost) {
  TEENY_ASSERT(gained >= 0 && lost >= 0);
  if (gained == lost) return 1;
  return double(std::min<long double>(1, 2 * binomial_lower_tail(gained + lost, std::min(gained, lost), 0.5L)));
}

double mcnemar_power(int64_t n, double difference, double discordance, double alpha) {
  TEENY_ASSERT(n > 0 && difference >= 0 && discordance <= 1 && difference <= discordance * (1 + 1e-12));
  if (discordance == 0) return 0;
  long double worse = (1 + static_cast<long double>(difference) / discordance) / 2, total = 0;
  worse = std::min<long double>(worse, 1);
  for (int64_t m = 1; m <= n; ++m) {
    long double weight = std::exp(log_binomial(n, m, discordance));
    if (weight < 1e-12L) continue;
    int64_t c = critical_value(m, alpha);
    if (c < 0) continue;
    // Either direction counts as a finding: few losses, or few gains.
    total += weight * (binomial_lower_tail(m, c, worse) + binomial_lower_tail(m, c, 1 - worse));
  }
  return double(std::min<long double>(total, 1));
}

std::optional<double> detectable_difference(int64_t n, double discordance, double alpha, double power) {
  TEENY_ASSERT(n > 0 && discordance >= 0 && discordance <= 1);
  auto enough = [&](double d) { return mcnemar_power(n, d, std::max(d, discordance), alpha) >= power; };
  if (!enough(1)) return std::nullopt;
  double low = 0, high = 1;
  while (high - low > 1e-5) {
    double middle = (low + high) / 2;
    (enough(middle) ? high : low) = middle;
  }
  return high;
}

std::vector<double> holm(std::span<const double> p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size());
  double largest = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    largest = std::max(largest, std::min(1.0, double(order.size() - i) * p[order[i]]));
    adjusted[order[i]] = largest;
  }
  return adjusted;
}

}  // namespace teeny
