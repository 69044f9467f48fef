#include "teeny/calib/collect.h"

#include <algorithm>

#include "teeny/core/error.h"
#include "teeny/kernels/fixed_order.h"

namespace teeny {
namespace {

constexpr int64_t kChunkBytes = 128 << 20;  // of captured inputs held at a time

Attend whole_window(const Tensor& hidden) {
  Attend attend;
  attend.positions = at::arange(hidden.size(1), at::kLong).unsqueeze(0);
  attend.keys = hidden.size(1);
  return attend;
}

// Windows that are captured together: a fixed number, whatever the machine, so that sums are always cut the same way.
int64_t windows_per_chunk(const HiddenStates& hidden, int64_t largest_k, size_t inputs) {
  int64_t longest = 1;
  for (const auto& h : hidden) longest = std::max(longest, h.size(1));
  return std::clamp<int64_t>(kChunkBytes / (longest * largest_k * 4 * int64_t(inputs)), 1, int64_t(hidden.size()));
}

void accumulate(InputStats& stats, const Tensor& x, bool with_gram) {  // x (T, K)
  if (!stats.square.defined()) {
    stats.square = at::zeros({x.size(1)});
    stats.absolute = at::zeros({x.size(1)});
    stats.sum = at::zeros({x.size(1)});
    if (with_gram) stats.gram = at::zeros({x.size(1), x.size(1)});
  }
  for_each_single_threaded(1, [&](int64_t) {
    stats.square.add_(x.square().sum(0));
    stats.absolute.add_(x.abs().sum(0));
    stats.sum.add_(x.sum(0));
  });
  if (with_gram) add_gram(stats.gram, x);
  stats.tokens += x.size(0);
}

}  // namespace

std::array<InputStats, 4> collect(const ModelSpec& spec, const Block& block, const HiddenStates& hidden, const Rope& rope, const std::vector<int>& inputs,
                                  bool with_gram, Context& context) {
  std::array<InputStats, 4> stats;
  const int last = *std::max_element(inputs.begin(), inputs.end());
  const auto wanted = [&](int input) { return std::find(inputs.begin(), inputs.end(), input) != inputs.end(); };
  const int64_t step = windows_per_chunk(hidden, std::max(spec.hidden, spec.intermediate), inputs.size());
  for (int64_t begin = 0; begin < int64_t(hidden.size()); begin += step) {
    context.check_interrupted();
    const int64_t count = std::min(step, int64_t(hidden.size()) - begin);
    std::vector<std::array<Tensor, 4>> captured(static_cast<size_t>(count));
    for_each_single_threaded(count, [&](int64_t i) {
      const auto& h = hidden[size_t(begin + i)];
      block_forward(spec, block, 0, h, rope, whole_window(h), [&](int input, const Tensor& x) {
        if (wanted(input)) captured[size_t(i)][size_t(input)] = x.view({x.size(1), x.size(2)});
        return input < last;
      });
    });
    for (const int input : inputs) {
      for (auto& window : captured) {
        accumulate(stats[size_t(input)], window[size_t(input)], with_gram);
        window[size_t(input)] = Tensor();
      }
    }
  }
  for (const int input : inputs) {
    auto& s = stats[size_t(input)];
    if (with_gram) mirror_lower(s.gram);
    if (!s.square.isfinite().all().item<bool>() || s.square.max().item<float>() <= 0)
      throw input_error("calibration", fmt::format("input {} of a block", input),
                        "has statistics that are not finite or all zero; the model or the calibration text is unusable");
  }
  return stats;
}

void advance(const ModelSpec& spec, const Block& block, HiddenStates& hidden, const Rope& rope, Context& context) {
  for_each_single_threaded(int64_t(hidden.size()), [&](int64_t i) {
    context.check_interrupted();
    auto& h = hidden[size_t(i)];
    h = block_forward(spec, block, 0, h, rope, whole_window(h));
  });
}

}  // namespace teeny
