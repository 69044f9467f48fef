#include "teeny/stats/intervals.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "teeny/core/error.h"
#include "teeny/core/parallel.h"
#include "teeny/stats/describe.h"

namespace teeny {
namespace {

// SplitMix64's output function applied to a counter: draw `index` of stream `seed`, with no state to carry.
uint64_t draw(uint64_t seed, uint64_t index) {
  auto mix = [](uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  };
  return mix(mix(seed + 0x9e3779b97f4a7c15ull) + (index + 1) * 0x9e3779b97f4a7c15ull);
}

// Uniform in [0, n) from 64 random bits; the bias is below n / 2^64.
size_t below(uint64_t bits, size_t n) { return size_t((static_cast<unsigned __int128>(bits) * n) >> 64); }

// Items are (sum, count); the statistic of a draw of items is total sum / total count.
struct Item {
  double sum, count;
};

Estimate bootstrap(const std::vector<Item>& items, const BootstrapOptions& options) {
  TEENY_ASSERT(!items.empty() && options.resamples > 0 && options.level > 0 && options.level < 1);
  const size_t n = items.size();
  std::vector<double> statistics(size_t(options.resamples));
  constexpr size_t kChunk = 64;
  size_t chunks = (statistics.size() + kChunk - 1) / kChunk;
  parallel_for(chunks, options.threads, [&](size_t chunk) {
    for (size_t r = chunk * kChunk; r < std::min(statistics.size(), (chunk + 1) * kChunk); ++r) {
      double sum = 0, count = 0;
      for (size_t i = 0; i < n; ++i) {
        const Item& item = items[below(draw(options.seed, uint64_t(r) * n + i), n)];
        sum += item.sum;
        count += item.count;
      }
      statistics[r] = sum / count;
    }
  });
  long double sum = 0, count = 0;
  for (const Item& item : items) sum += item.sum, count += item.count;
  double tail = (1 - options.level) / 2 * 100;
  Estimate e;
  e.value = double(sum / count);
  e.standard_error = standard_error(statistics) * std::sqrt(double(statistics.size()));
  e.ci = {percentile(statistics, tail), percentile(statistics, 100 - tail)};
  const auto share = [&](auto&& holds) { return double(1 + std::count_if(statistics.begin(), statistics.end(), holds)) / double(statistics.size() + 1); };
  e.p_zero = std::min(1.0, 2 * std::min(share([](double s) { return s <= 0; }), share([](double s) { return s >= 0; })));
  e.p_equivalence = std::max(share([&](double s) { return s <= -options.margin; }), share([&](double s) { return s >= options.margin; }));
  return e;
}

}  // namespace

Interval wilson_interval(int64_t successes, int64_t n, double z) {
  TEENY_ASSERT(n > 0 && successes >= 0 && successes <= n);
  double count = double(n), p = double(successes) / count, z2 = z * z;
  double centre = (p + z2 / (2 * count)) / (1 + z2 / count);
  double half = z / (1 + z2 / count) * std::sqrt(p * (1 - p) / count + z2 / (4 * count * count));
  // Rounding must not leave an end a hair inside the range where it is exactly 0 or 1.
  return {successes == 0 ? 0 : std::max(0.0, centre - half), successes == n ? 1 : std::min(1.0, centre + half)};
}

Estimate bootstrap_mean(std::span<const double> values, const BootstrapOptions& options) {
  std::vector<Item> items;
  for (double v : values) items.push_back({v, 1});
  return bootstrap(items, options);
}

Estimate bootstrap_paired_difference(std::span<const double> a, std::span<const double> b, const BootstrapOptions& options) {
  TEENY_ASSERT(a.size() == b.size());
  std::vector<Item> items;
  for (size_t i = 0; i < a.size(); ++i) items.push_back({a[i] - b[i], 1});
  return bootstrap(items, options);
}

Estimate bootstrap_clustered_mean(std::span<const double> values, std::span<const int64_t> cluster, const BootstrapOptions& options) {
  return bootstrap_clustered_mean(values, std::vector<double>(values.size(), 1.0), cluster, options);
}

Estimate bootstrap_clustered_mean(std::span<const double> values, std::span<const double> weights, std::span<const int64_t> cluster, const BootstrapOptions& options) {
  TEENY_ASSERT(values.size() == cluster.size() && values.size() == weights.size());
  std::map<int64_t, Item> clusters;
  for (size_t i = 0; i < values.size(); ++i) {
    Item& item = clusters.try_emplace(cluster[i], Item{0, 0}).first->second;
    item.sum += weights[i] * values[i];
    item.count += weights[i];
  }
  std::vector<Item> items;
  for (auto& [id, item] : clusters) items.push_back(item);
  return bootstrap(items, options);
}

}  // namespace teeny
