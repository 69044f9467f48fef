#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "teeny/core/error.h"
#include "teeny/stats/describe.h"
#include "teeny/stats/equivalence.h"
#include "teeny/stats/intervals.h"
#include "teeny/stats/pass_at_k.h"
#include "teeny/stats/tests.h"

namespace teeny {
namespace {

// Exact C(n, k) where it fits 128 bits.
unsigned __int128 choose(int n, int k) {
  if (k < 0 || k > n) return 0;
  unsigned __int128 r = 1;
  for (int i = 1; i <= k; ++i) r = r * unsigned(n - k + i) / unsigned(i);
  return r;
}

TEST(Wilson, KnownValues) {
  Interval all = wilson_interval(164, 164), some = wilson_interval(98, 164), none = wilson_interval(0, 164);
  EXPECT_NEAR(all.low, 0.977, 5e-4);
  EXPECT_EQ(all.high, 1);
  EXPECT_NEAR(some.low, 0.521, 5e-4);
  EXPECT_NEAR(some.high, 0.670, 5e-4);
  EXPECT_EQ(none.low, 0);
  EXPECT_NEAR(none.high, 1 - all.low, 1e-12);
}

// The ends are the roots of (p - t)^2 n = z^2 t (1 - t).
TEST(Wilson, SolvesItsEquation) {
  const double z = 1.959963984540054;
  for (int n : {1, 7, 30, 164, 100000})
    for (int s = 0; s <= n; s += std::max(1, n / 7)) {
      Interval i = wilson_interval(s, n);
      double p = double(s) / n;
      for (double t : {i.low, i.high}) EXPECT_NEAR((p - t) * (p - t) * n, z * z * t * (1 - t), 1e-9) << s << "/" << n;
      EXPECT_LE(i.low, p);
      EXPECT_GE(i.high, p);
    }
}

TEST(McNemar, KnownValues) {
  EXPECT_DOUBLE_EQ(mcnemar_exact(10, 0), 2.0 / 1024);
  EXPECT_DOUBLE_EQ(mcnemar_exact(5, 1), 14.0 / 64);
  EXPECT_EQ(mcnemar_exact(0, 0), 1);
  EXPECT_EQ(mcnemar_exact(3, 3), 1);
  EXPECT_EQ(mcnemar_exact(1, 0), 1);
}

TEST(McNemar, EqualsExactRationals) {
  for (int b = 0; b <= 30; ++b)
    for (int c = 0; c <= 30; ++c) {
      unsigned __int128 sum = 0;
      for (int k = 0; k <= std::min(b, c); ++k) sum += choose(b + c, k);
      long double exact = std::min(1.0L, std::ldexp(2 * static_cast<long double>(sum), -(b + c)));
      EXPECT_NEAR(mcnemar_exact(b, c), double(exact), 1e-14 * double(exact)) << b << " " << c;
      EXPECT_EQ(mcnemar_exact(b, c), mcnemar_exact(c, b));
    }
}

TEST(McNemar, LargeCountsAgreeWithTheNormalLimit) {
  // z = (|b - c| - 1) / sqrt(b + c), continuity corrected; relative error O(1/n) in the bulk.
  for (int64_t n : {10000, 1000000, 100000000}) {
    int64_t b = n / 2 + int64_t(std::sqrt(double(n))), c = n - b;
    double z = double(b - c - 1) / std::sqrt(double(n));
    EXPECT_NEAR(mcnemar_exact(b, c) / std::erfc(z / std::sqrt(2.0)), 1, 1e-3) << n;
  }
  EXPECT_GE(mcnemar_exact(1000000, 0), 0);
  EXPECT_LT(mcnemar_exact(1000000, 0), 1e-300);
}

// The simulated powers of docs: n = 164, losses of 5 and 3 points; n = 1000; n = 2952. Simulation error is 1 to 2 points.
TEST(McNemar, PowerMatchesSimulation) {
  EXPECT_NEAR(mcnemar_power(164, 0.05, 0.06), 0.71, 0.03);
  EXPECT_NEAR(mcnemar_power(164, 0.05, 0.12), 0.39, 0.03);
  EXPECT_NEAR(mcnemar_power(1000, 0.03, 0.06), 0.98, 0.02);
  EXPECT_NEAR(mcnemar_power(1000, 0.03, 0.12), 0.78, 0.03);
  EXPECT_NEAR(mcnemar_power(2952, 0.02, 0.12), 0.88, 0.02);
  EXPECT_LE(mcnemar_power(164, 0, 0.1), 0.05);  // exact: never above alpha under the null
}

TEST(McNemar, DetectableDifferenceIsWhereThePowerIs) {
  for (int64_t n : {20, 164, 1000})
    for (double discordance : {0.0, 0.02, 0.1}) {
      std::optional<double> d = detectable_difference(n, discordance);
      ASSERT_TRUE(d);
      EXPECT_GE(mcnemar_power(n, *d, std::max(*d, discordance)), 0.8);
      EXPECT_LT(mcnemar_power(n, *d - 1e-3, std::max(*d - 1e-3, discordance)), 0.8);
    }
  EXPECT_LT(*detectable_difference(1000, 0.1), *detectable_difference(164, 0.1));
  EXPECT_FALSE(detectable_difference(5, 0.1));
  EXPECT_TRUE(detectable_difference(6, 0.1));
}

// Against a maximisation of the likelihood and a bisection by another program, and in closed form where nothing differs.
TEST(Tango, Intervals) {
  struct Case {
    int64_t n, gained, lost;
    double low, high;
  };
  for (const Case& c : {Case{50, 12, 2, 0.0611124, 0.3447087}, Case{44, 0, 1, -0.1180771, 0.0593932}, Case{164, 1, 9, -0.0958399, -0.0139033}, Case{54, 14, 5, 0.0090770, 0.3205261}}) {
    const Interval i = tango_interval(c.n, c.gained, c.lost), mirrored = tango_interval(c.n, c.lost, c.gained);
    EXPECT_NEAR(i.low, c.low, 1e-6);
    EXPECT_NEAR(i.high, c.high, 1e-6);
    EXPECT_NEAR(mirrored.low, -i.high, 1e-9);
  }
  const double z2 = 1.959963984540054 * 1.959963984540054;
  for (int64_t n : {1, 10, 164, 100000}) {
    EXPECT_NEAR(tango_interval(n, 0, 0).high, z2 / (double(n) + z2), 1e-9);
    EXPECT_NEAR(tango_interval(n, 0, 0).low, -z2 / (double(n) + z2), 1e-9);
    EXPECT_GT(tango_interval(n, n, 0).high, 1 - 1e-6);
  }
}

TEST(PassAtK, EqualsExactRationals) {
  for (int n = 1; n <= 40; ++n)
    for (int c = 0; c <= n; ++c)
      for (int k = 1; k <= n; ++k) {
        long double exact = 1 - static_cast<long double>(choose(n - c, k)) / static_cast<long double>(choose(n, k));
        ASSERT_NEAR(pass_at_k(n, c, k), double(exact), 1e-15) << n << " " << c << " " << k;
      }
}

TEST(PassAtK, Edges) {
  EXPECT_EQ(pass_at_k(10, 10, 1), 1);
  EXPECT_EQ(pass_at_k(10, 0, 10), 0);
  EXPECT_EQ(pass_at_k(10, 1, 10), 1);
  EXPECT_EQ(pass_at_k(10, 6, 5), 1);  // n - c < k
  EXPECT_NEAR(pass_at_k(1000000, 1, 1), 1e-6, 1e-18);
  EXPECT_NEAR(pass_at_k(1000000, 500000, 2), 1 - 0.5 * (499999.0 / 999999.0), 1e-12);
  EXPECT_THROW(pass_at_k(5, 1, 6), Error);
  EXPECT_THROW(pass_at_k(5, 1, 0), Error);
  EXPECT_THROW(pass_at_k(5, 6, 1), Error);
  EXPECT_THROW(pass_at_k(5, -1, 1), Error);
}

TEST(Holm, StepsDownInTheOrderGiven) {
  std::vector<double> p{0.01, 0.04, 0.03, 0.005}, expected{0.03, 0.06, 0.06, 0.02}, got = holm(p);
  for (size_t i = 0; i < p.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-15);
  EXPECT_EQ(holm(std::vector<double>{0.9, 0.8}), (std::vector<double>{1, 1}));
  EXPECT_TRUE(holm(std::vector<double>{}).empty());
}

TEST(Describe, MedianMadPercentiles) {
  std::vector<double> v{9, 1, 3, 7, 5};
  EXPECT_EQ(median(v), 5);
  EXPECT_EQ(median_absolute_deviation(v), 2);
  EXPECT_EQ(percentile(v, 0), 1);
  EXPECT_EQ(percentile(v, 100), 9);
  EXPECT_DOUBLE_EQ(percentile(v, 10), 1.8);
  EXPECT_DOUBLE_EQ(percentile(v, 90), 8.2);
  EXPECT_EQ(median(std::vector<double>{1, 2, 3, 10}), 2.5);
  EXPECT_EQ(mean(v), 5);
  EXPECT_DOUBLE_EQ(standard_error(v), std::sqrt(10.0 / 5));
  EXPECT_EQ(standard_error(std::vector<double>{4}), 0);
  EXPECT_THROW(median(std::vector<double>{}), Error);
}

TEST(Bootstrap, SameSeedSameResultOnAnyThreads) {
  std::vector<double> v(164);
  for (size_t i = 0; i < v.size(); ++i) v[i] = i % 5 == 0 ? 0 : 1;
  BootstrapOptions one, four, other;
  four.threads = 4;
  other.seed = 1;
  Estimate a = bootstrap_mean(v, one), b = bootstrap_mean(v, four), c = bootstrap_mean(v, other);
  EXPECT_EQ(a.ci.low, b.ci.low);
  EXPECT_EQ(a.ci.high, b.ci.high);
  EXPECT_EQ(a.standard_error, b.standard_error);
  EXPECT_NE(a.standard_error, c.standard_error);
  EXPECT_DOUBLE_EQ(a.value, mean(v));
}

// The bootstrap's standard error of a mean is sigma / sqrt(n) up to Monte Carlo error (1 / sqrt(2 resamples) = 0.7 %).
TEST(Bootstrap, StandardErrorAndIntervalOfAMean) {
  std::vector<double> v(400);
  for (size_t i = 0; i < v.size(); ++i) v[i] = std::sin(double(i) * 12.9898) * 3;
  Estimate e = bootstrap_mean(v);
  double expected = standard_error(v) * std::sqrt(399.0 / 400);
  EXPECT_NEAR(e.standard_error / expected, 1, 0.04);
  EXPECT_NEAR((e.ci.high - e.ci.low) / (2 * 1.96 * expected), 1, 0.05);
  EXPECT_LT(e.ci.low, e.value);
  EXPECT_GT(e.ci.high, e.value);
}

TEST(Bootstrap, PairsKeepTogether) {
  std::vector<double> a(100), b(100);
  for (size_t i = 0; i < a.size(); ++i) a[i] = double(i), b[i] = double(i) - 2;
  Estimate e = bootstrap_paired_difference(a, b);  // the difference is 2 in every pair: no spread at all
  EXPECT_DOUBLE_EQ(e.value, 2);
  EXPECT_DOUBLE_EQ(e.ci.low, 2);
  EXPECT_DOUBLE_EQ(e.ci.high, 2);
  EXPECT_THROW(bootstrap_paired_difference(a, std::vector<double>(3)), Error);
}

TEST(Bootstrap, ClustersWidenTheInterval) {
  std::vector<double> v;
  std::vector<int64_t> cluster;
  for (int i = 0; i < 50; ++i)
    for (int j = 0; j < 8; ++j) v.push_back(i % 2), cluster.push_back(i);
  Estimate single = bootstrap_mean(v), grouped = bootstrap_clustered_mean(v, cluster);
  EXPECT_EQ(single.value, grouped.value);
  EXPECT_NEAR(grouped.standard_error / single.standard_error, std::sqrt(8.0), 0.15);
}

// The score statistic by its definition: the variance at the most likely probabilities under the hypothesis, found by a
// search over them instead of the closed form.
double searched_z(int n, int gained, int lost, double delta) {
  const double same = n - gained - lost, low = std::max(0.0, -delta), high = (1 - delta) / 2;
  const auto likelihood = [&](double q) {
    double sum = 0;
    if (gained) sum += gained * std::log(q + delta);
    if (lost) sum += lost * std::log(q);
    if (same > 0) sum += same * std::log(1 - 2 * q - delta);
    return sum;
  };
  double a = low, b = high;
  for (int i = 0; i < 200; ++i) {  // concave: ternary search
    const double m1 = a + (b - a) / 3, m2 = b - (b - a) / 3;
    (likelihood(m1) < likelihood(m2) ? a : b) = likelihood(m1) < likelihood(m2) ? m1 : m2;
  }
  const double q = (a + b) / 2;
  return (gained - lost - n * delta) / std::sqrt(n * (2 * q + delta * (1 - delta)));
}

TEST(Equivalence, ScoreTestEqualsItsDefinition) {
  for (const auto& [n, gained, lost] : {std::tuple{164, 3, 5}, {164, 1, 9}, {44, 1, 3}, {50, 12, 2}, {1000, 20, 35}})
    for (const double delta : {-0.2, -0.05, -0.01, 0.02, 0.1}) EXPECT_NEAR(tango_z(n, gained, lost, delta), searched_z(n, gained, lost, delta), 1e-5) << n << " " << gained << " " << lost << " " << delta;
}

TEST(Equivalence, KnownValues) {
  // At delta 0 the score statistic is McNemar's: (b - c) / sqrt(b + c).
  EXPECT_NEAR(tango_z(164, 10, 4, 0), 6 / std::sqrt(14.0), 1e-12);
  // No discordant pair: variance n |delta| (1 - |delta|), so z = sqrt(n |delta| / (1 - |delta|)); n = 164, 5 points: 2.938.
  EXPECT_NEAR(tango_z(164, 0, 0, -0.05), std::sqrt(164 * 0.05 / 0.95), 1e-9);
  EXPECT_NEAR(tost_paired(164, 0, 0, 0.05), 0.5 * std::erfc(std::sqrt(164 * 0.05 / 0.95 / 2)), 1e-12);
  EXPECT_LT(tost_paired(164, 0, 0, 0.05), 0.002);
  EXPECT_DOUBLE_EQ(tost_paired(164, 3, 7, 0.05), tost_paired(164, 7, 3, 0.05));
  EXPECT_GT(tost_paired(164, 0, 9, 0.05), 0.5);  // 5.5 points observed
  EXPECT_GE(tost_paired(164, 4, 4, 0), 0.5);     // nothing is equivalent within 0
}

// Under a true difference that equals the margin, the test may say "equivalent" in at most about 5 % of all samples.
TEST(Equivalence, HoldsItsLevel) {
  const int n = 164;
  const double margin = 0.05, q_lost = 0.08, q_gained = q_lost - margin;
  double level = 0;
  for (int lost = 0; lost <= 60; ++lost)
    for (int gained = 0; gained <= 60; ++gained) {
      const double logp = std::lgamma(n + 1.0) - std::lgamma(lost + 1.0) - std::lgamma(gained + 1.0) - std::lgamma(n - lost - gained + 1.0) + lost * std::log(q_lost) +
                          gained * std::log(q_gained) + (n - lost - gained) * std::log(1 - q_lost - q_gained);
      if (tost_paired(n, gained, lost, margin) <= 0.05) level += std::exp(logp);
    }
  EXPECT_LT(level, 0.06);
  EXPECT_GT(level, 0.02);
}

// A bootstrap of two clusters has four equally likely draws; every figure follows by counting.
TEST(Bootstrap, ClusteredWeightedMeanByCounting) {
  const std::vector<double> values{1, 0, 1, 1}, weights{0.5, 0.25, 0.5, 0.25};
  const std::vector<int64_t> cluster{0, 0, 1, 1};
  const Estimate e = bootstrap_clustered_mean(values, weights, cluster);
  EXPECT_NEAR(e.value, 1.25 / 1.5, 1e-15);
  EXPECT_NEAR(e.ci.low, 0.5 / 0.75, 1e-15);  // both draws the first cluster: a quarter of all
  EXPECT_NEAR(e.ci.high, 1, 1e-15);
  // Values 2/3, 5/6, 5/6, 1: standard deviation sqrt(1/72).
  EXPECT_NEAR(e.standard_error, std::sqrt(1.0 / 72), 0.002);
}

TEST(Bootstrap, PValuesByCounting) {
  // Two values -1 and 3: the mean of a draw is -1, 1, 1 or 3, each with probability 1/4. P(<= 0) = 1/4: p = 1/2.
  BootstrapOptions options;
  options.margin = 2;
  const Estimate e = bootstrap_mean(std::vector<double>{-1, 3}, options);
  EXPECT_NEAR(e.p_zero, 0.5, 0.02);
  EXPECT_NEAR(e.p_equivalence, 0.25, 0.01);  // a quarter of the draws is at 3, none at -2 or below
  EXPECT_NEAR(bootstrap_mean(std::vector<double>{1, 2, 3}).p_zero, 2.0 / 10001, 1e-12);
}

}  // namespace
}  // namespace teeny
