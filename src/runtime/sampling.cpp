#include "runtime/sampling.h"

#include <algorithm>

namespace teeny {

// Counter-based: the same number for (seed, prompt, step), whatever ran before (SplitMix64's finaliser).
double draw(uint64_t seed, uint64_t prompt, uint64_t step) {
  uint64_t z = seed * 0x9e3779b97f4a7c15ull + prompt * 0xbf58476d1ce4e5b9ull + step * 0x94d049bb133111ebull + 0x632be59bd9b4e019ull;
  for (int round = 0; round < 2; ++round) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;
  }
  return double(z >> 11) * 0x1p-53;
}

int32_t sample(const Tensor& logits, double temperature, double top_p, double u) {
  if (top_p >= 1) {  // nothing is cut off, so no order is needed
    const Tensor mass = at::softmax(logits.to(at::kDouble) / temperature, 0).cumsum(0);
    const auto* sum = mass.const_data_ptr<double>();
    const int64_t n = mass.numel();
    return int32_t(std::min<int64_t>(n - 1, std::upper_bound(sum, sum + n, u * sum[n - 1]) - sum));
  }
  auto [probability, order] = at::softmax(logits.to(at::kDouble) / temperature, 0).sort(0, /*descending=*/true);
  const auto* p = probability.const_data_ptr<double>();
  const auto* id = order.const_data_ptr<int64_t>();
  int64_t kept = 0;
  double mass = 0;
  while (kept < probability.numel() && (kept == 0 || mass < top_p)) mass += p[kept++];
  double at = u * mass;
  for (int64_t i = 0; i < kept; ++i)
    if ((at -= p[i]) < 0) return int32_t(id[i]);
  return int32_t(id[kept - 1]);
}

Tensor sample_rows(const Tensor& logits, double temperature, double top_p, const std::vector<double>& u) {
  const Tensor draws = at::tensor(u, at::kDouble).to(logits.device()).unsqueeze(1);
  if (top_p >= 1) {
    const Tensor mass = at::softmax(logits.to(at::kDouble) / temperature, 1).cumsum(1);
    return mass.le(draws * mass.slice(1, -1)).sum(1).clamp_max(mass.size(1) - 1);
  }
  const auto [probability, order] = at::softmax(logits.to(at::kDouble) / temperature, 1).sort(1, /*descending=*/true);
  const Tensor mass = probability.cumsum(1), kept = (mass - probability).lt(top_p);  // at least the first is kept
  const Tensor target = draws * probability.masked_fill(kept.logical_not(), 0).sum(1, true);
  const Tensor index = mass.le(target).logical_and(kept).sum(1, true).minimum(kept.sum(1, true) - 1);
  return order.gather(1, index).squeeze(1);
}

}  // namespace teeny
