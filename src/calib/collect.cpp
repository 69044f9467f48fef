#include "teeny/calib/collect.h"

#include <algorithm>
#include <cmath>
#include <utility>

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

void accumulate(InputStats& stats, const Tensor& x, bool with_gram, bool first_half) {  // x (T, K)
  if (!stats.square.defined()) {
    stats.square = at::zeros({x.size(1)});
    stats.half_square = at::zeros({x.size(1)});
    stats.absolute = at::zeros({x.size(1)});
    stats.sum = at::zeros({x.size(1)});
    stats.largest = at::zeros({x.size(1)});
    if (with_gram) stats.gram = at::zeros({x.size(1), x.size(1)});
  }
  for_each_single_threaded(1, [&](int64_t) {
    const Tensor square = x.square().sum(0);
    stats.square.add_(square);
    if (first_half) stats.half_square.add_(square);
    stats.absolute.add_(x.abs().sum(0));
    stats.sum.add_(x.sum(0));
    stats.largest = at::maximum(stats.largest, x.abs().amax({0}));
  });
  if (with_gram) add_gram(stats.gram, x);
  stats.tokens += x.size(0);
  if (first_half) stats.half_tokens += x.size(0);
}

// "model.layers.3.self_attn.q_proj, k_proj ...": the linears that read an input.
std::string readers(int64_t layer, int input) {
  std::string names = layer < 0 ? std::string() : layer_prefix(layer);
  const char* between = "";
  for (const auto& slot : kLinears)
    if (slot.input == input) names += std::exchange(between, ", ") + std::string(slot.module);
  return names;
}

}  // namespace

std::optional<double> InputStats::agreement() const {
  if (!half_square.defined() || half_tokens == 0 || half_tokens == tokens) return {};
  const Tensor a = half_square / double(half_tokens), b = (square - half_square).clamp_min(0) / double(tokens - half_tokens);
  return 1 - (a - b).abs().sum(at::kDouble).item<double>() / std::max((a + b).sum(at::kDouble).item<double>(), 1e-30);
}

double output_error(const Tensor& w, const Tensor& quantized, const Tensor& gram) {
  const auto energy = [&](const Tensor& t) { return (fixed_matmul(t, gram) * t).sum(at::kDouble).item<double>(); };
  return std::sqrt(std::max(energy(w - quantized), 0.0) / std::max(energy(w), 1e-30));
}

std::array<InputStats, 4> collect(const ModelSpec& spec, const Block& block, const HiddenStates& hidden, const Rope& rope, const std::vector<int>& inputs,
                                  bool with_gram, Context& context, int64_t layer) {
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
      for (int64_t i = 0; i < count; ++i) {
        auto& window = captured[size_t(i)][size_t(input)];
        accumulate(stats[size_t(input)], window, with_gram, (begin + i) % 2 == 0);
        window = Tensor();
      }
    }
  }
  for (const int input : inputs) {
    auto& s = stats[size_t(input)];
    if (with_gram) mirror_lower(s.gram);
    if (!s.square.isfinite().all().item<bool>() || s.square.max().item<float>() <= 0)
      throw input_error("calibration", readers(layer, input), "the input is {} over {} tokens; the model or the calibration text is unusable", s.square.isfinite().all().item<bool>() ? "all zero" : "not finite",
                        s.tokens);
  }
  return stats;
}

std::array<Tensor, 4> sample_inputs(const ModelSpec& spec, const Block& block, const HiddenStates& hidden, const Rope& rope, int64_t tokens) {
  std::array<std::vector<Tensor>, 4> rows;
  int64_t seen = 0;
  for (const auto& h : hidden) {
    if (seen >= tokens) break;
    for_each_single_threaded(1, [&](int64_t) {
      block_forward(spec, block, 0, h, rope, whole_window(h), [&](int input, const Tensor& x) {
        rows[size_t(input)].push_back(x.view({x.size(1), x.size(2)}).slice(0, 0, tokens - seen).clone());
        return input < 3;
      });
    });
    seen += h.size(1);
  }
  std::array<Tensor, 4> out;
  for (size_t i = 0; i < 4; ++i) out[i] = at::cat(rows[i]);
  return out;
}

void advance(const ModelSpec& spec, const Block& block, HiddenStates& hidden, const Rope& rope, Context& context) {
  for_each_single_threaded(int64_t(hidden.size()), [&](int64_t i) {
    context.check_interrupted();
    auto& h = hidden[size_t(i)];
    h = block_forward(spec, block, 0, h, rope, whole_window(h));
  });
}

}  // namespace teeny
