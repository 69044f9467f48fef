#include "teeny/calib/collect.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "teeny/core/error.h"
#include "teeny/kernels/column_sums.h"
#include "teeny/kernels/fixed_order.h"

namespace teeny {
namespace {

constexpr int64_t kChunkBytes = 128 << 20;  // of captured inputs held at a time
constexpr int64_t kSliceRows = 256;         // that a thread of a GPU adds one after the other

Attend whole_window(const Tensor& hidden) {
  Attend attend;
  attend.positions = at::arange(hidden.size(1), hidden.options().dtype(at::kLong)).unsqueeze(0);
  attend.keys = hidden.size(1);
  return attend;
}

Tensor forward(const ModelSpec& spec, const Block& block, const Tensor& h, const Rope& rope, Part part, const Observer& observer = {}) {
  if (part == Part::Mlp) return mlp_forward(spec, block, h, observer);
  if (part == Part::Attention) return attention_forward(spec, block, 0, h, rope, whole_window(h), observer);
  return block_forward(spec, block, 0, h, rope, whole_window(h), observer);
}

// Windows that are captured together: a fixed number, whatever the machine, so that sums are always cut the same way.
int64_t windows_per_chunk(const HiddenStates& hidden, int64_t largest_k, size_t inputs) {
  int64_t longest = 1;
  for (const auto& h : hidden) longest = std::max(longest, h.size(1));
  return std::clamp<int64_t>(kChunkBytes / (longest * largest_k * 4 * int64_t(inputs)), 1, int64_t(hidden.size()));
}

void prepare(InputStats& stats, int64_t K, bool with_gram, at::Device device) {
  if (stats.square.defined()) return;
  const auto options = at::TensorOptions(at::kFloat).device(device);
  for (Tensor* t : {&stats.square, &stats.half_square, &stats.absolute, &stats.sum, &stats.largest}) *t = at::zeros({K}, options);
  if (with_gram) stats.gram = at::zeros({K, K}, options);
}

void accumulate(InputStats& stats, const Tensor& x, bool with_gram, bool first_half) {  // x (T, K)
  prepare(stats, x.size(1), with_gram, x.device());
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

// The same on a GPU, of x (B, T, K): windows `first` .. first + B.
void accumulate_on_gpu(InputStats& stats, const Tensor& x, bool with_gram, int64_t first) {
  const int64_t B = x.size(0), T = x.size(1), K = x.size(2);
  prepare(stats, K, with_gram, x.device());
  const Tensor rows = x.reshape({B * T, K}).contiguous();
  const int64_t step = T % kSliceRows == 0 ? kSliceRows : T;
  const Tensor sums = column_sums(rows, step).view({B, T / step, 4, K});
  const auto add = [&](Tensor& to, const Tensor& part, int64_t which) { to.add_(part.select(2, which).sum(at::IntArrayRef({0, 1}))); };
  add(stats.square, sums, 0), add(stats.absolute, sums, 1), add(stats.sum, sums, 2);
  stats.largest = at::maximum(stats.largest, sums.select(2, 3).amax(at::IntArrayRef({0, 1})));
  const Tensor halves = sums.slice(0, first % 2, B, 2);
  if (halves.size(0) > 0) add(stats.half_square, halves, 0);
  stats.tokens += B * T, stats.half_tokens += halves.size(0) * T;
  if (with_gram) add_gram(stats.gram, rows);
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
  return std::sqrt(std::max(energy(w - quantized, gram), 0.0) / std::max(energy(w, gram), 1e-30));
}

namespace {

void collect_on_gpu(const ModelSpec& spec, const Block& block, const HiddenStates& hidden, const Rope& rope, int last, const std::function<bool(int)>& wanted, bool with_gram,
                    Part part, std::array<InputStats, 4>& stats, HiddenStates* moved, Context& context) {
  int64_t first = 0;
  for (size_t i = 0; i < hidden.size(); ++i) {
    context.check_interrupted();
    const Tensor h = hidden[i];
    const Tensor out = forward(spec, block, h, rope, part, [&](int input, const Tensor& x) {
      if (wanted(input)) accumulate_on_gpu(stats[size_t(input)], x, with_gram, first);
      return input < last;
    });
    if (moved) (*moved)[i] = out;
    first += h.size(0);
  }
}

}  // namespace

std::array<InputStats, 4> collect(const ModelSpec& spec, const Block& block, const HiddenStates& hidden, const Rope& rope, const std::vector<int>& inputs,
                                  bool with_gram, Context& context, int64_t layer, Part part, HiddenStates* moved) {
  std::array<InputStats, 4> stats;
  if (moved) moved->resize(hidden.size());
  const int last = moved ? 4 : *std::max_element(inputs.begin(), inputs.end());
  const auto wanted = [&](int input) { return std::find(inputs.begin(), inputs.end(), input) != inputs.end(); };
  const bool on_gpu = !hidden.empty() && hidden[0].is_cuda();
  if (on_gpu) collect_on_gpu(spec, block, hidden, rope, last, wanted, with_gram, part, stats, moved, context);
  const int64_t step = windows_per_chunk(hidden, std::max(spec.hidden, spec.intermediate), inputs.size());
  for (int64_t begin = 0; begin < int64_t(hidden.size()) && !on_gpu; begin += step) {
    context.check_interrupted();
    const int64_t count = std::min(step, int64_t(hidden.size()) - begin);
    std::vector<std::array<Tensor, 4>> captured(static_cast<size_t>(count));
    for_each_single_threaded(count, [&](int64_t i) {
      const Tensor h = hidden[size_t(begin + i)];
      const Tensor out = forward(spec, block, h, rope, part, [&](int input, const Tensor& x) {
        if (wanted(input)) captured[size_t(i)][size_t(input)] = x.view({x.size(1), x.size(2)});
        return input < last;
      });
      if (moved) (*moved)[size_t(begin + i)] = out;
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
    const auto run = [&](int64_t) {
      block_forward(spec, block, 0, h, rope, whole_window(h), [&](int input, const Tensor& x) {
        rows[size_t(input)].push_back(x.reshape({-1, x.size(2)}).slice(0, 0, tokens - seen).to(at::kFloat, false, /*copy=*/true));
        return input < 3;
      });
    };
    if (h.is_cuda()) run(0);
    else for_each_single_threaded(1, run);
    seen += h.size(0) * h.size(1);
  }
  std::array<Tensor, 4> out;
  for (size_t i = 0; i < 4; ++i) out[i] = at::cat(rows[i]);
  return out;
}

void advance(const ModelSpec& spec, const Block& block, HiddenStates& hidden, const Rope& rope, Context& context, Part part) {
  const auto step = [&](int64_t i) {
    context.check_interrupted();
    auto& h = hidden[size_t(i)];
    h = forward(spec, block, h, rope, part);
  };
  if (hidden.empty() || !hidden[0].is_cuda()) return for_each_single_threaded(int64_t(hidden.size()), step);
  for (size_t i = 0; i < hidden.size(); ++i) step(int64_t(i));
}

}  // namespace teeny
