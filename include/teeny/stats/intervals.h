// Intervals for scores: Wilson for a share of successes, the bootstrap over items for any mean.
#pragma once
#include <cstdint>
#include <span>

namespace teeny {

struct Interval {
  double low = 0, high = 0;
};

// 95 % by default. Holds its coverage at the edges (164 of 164), where the normal interval does not. n > 0.
Interval wilson_interval(int64_t successes, int64_t n, double z = 1.959963984540054);

struct BootstrapOptions {
  int resamples = 10000;
  uint64_t seed = 0;
  double level = 0.95;
  double margin = 0;  // of the test of equivalence
  int threads = 1;  // the result does not depend on it: every draw is a function of (seed, resample, position)
};
struct Estimate {
  double value = 0, standard_error = 0;  // of the sample; the resamples' standard deviation
  Interval ci;                           // percentile interval of the resamples
  // By inverting that interval: p of the hypothesis that the true value is 0 (two-sided), and that it is `margin` or more
  // away from 0 (two one-sided tests). Never below 1 / (resamples + 1).
  double p_zero = 1, p_equivalence = 1;
};

Estimate bootstrap_mean(std::span<const double> values, const BootstrapOptions& options = {});
// Mean of a[i] - b[i]; whole pairs are drawn. Same length, in the same order.
Estimate bootstrap_paired_difference(std::span<const double> a, std::span<const double> b, const BootstrapOptions& options = {});
// Mean of all values; whole clusters are drawn (several samples, or translations, of one problem are one cluster).
Estimate bootstrap_clustered_mean(std::span<const double> values, std::span<const int64_t> cluster, const BootstrapOptions& options = {});

// The same for a weighted mean, sum of w x over sum of w: the mean over languages of unequal size has w = 1 / size.
Estimate bootstrap_clustered_mean(std::span<const double> values, std::span<const double> weights, std::span<const int64_t> cluster, const BootstrapOptions& options = {});

}  // namespace teeny
