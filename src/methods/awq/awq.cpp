#include "teeny/methods/awq.h"

#include <algorithm>
#include <cmath>

#include "methods/awq/codes.h"
#include "teeny/core/error.h"
#include "teeny/kernels/fixed_order.h"

namespace teeny {
namespace {

// Linears that share a scaled input, and what the inverse scale is folded into.
struct ScaleGroup {
  const char* name;
  std::vector<size_t> consumers;  // indices into Block::linears
  int input;                      // whose statistics
  Tensor* norm = nullptr;         // folded into this norm ...
  Linear* producer = nullptr;     // ... or into the rows of this linear
};

double gram_norm(const Tensor& d, const Tensor& gram) { return (fixed_matmul(d, gram) * d).sum(at::kDouble).item<double>(); }

// Sum over the linears of tr(D G D^T) / tr(W G W^T) with D = dequantized(W s) / s - W: the relative squared output error,
// without activations. Relative, because q, k, v and gate, up differ in scale by orders of magnitude while a relative
// error in each of them harms alike.
double output_error(const Block& block, const ScaleGroup& group, const Tensor& gram, const Tensor& s, const BlockEncodings& encodings) {
  double error = 0;
  for (const size_t index : group.consumers) {
    const Tensor& w = block.linears[index].weight;
    const auto [levels, grid] = encodings[index]->quantize(w * s, {});
    const Tensor d = decode(levels, grid).div_(s).sub_(w);
    error += gram_norm(d, gram) / std::max(gram_norm(w, gram), 1e-30);
  }
  return error;
}

// mean over all rows of |w| / (absmax of its group): how large a column is beside its neighbours.
Tensor relative_weight(const Block& block, const ScaleGroup& group, int64_t columns_a_group) {
  Tensor sum;
  int64_t rows = 0;
  for (const size_t index : group.consumers) {
    const Tensor w = block.linears[index].weight.abs();
    const Tensor grouped = w.view({w.size(0), -1, columns_a_group});
    const Tensor relative = (grouped / (grouped.amax({2}, true) + 1e-6)).view_as(w).sum(0);
    sum = sum.defined() ? sum + relative : relative;
    rows += w.size(0);
  }
  return sum / double(rows);
}

Tensor normalised(Tensor s) {
  s = s.clamp_min(1e-4);
  s = s / (s.max() * s.min()).sqrt();
  return at::where(s.isfinite(), s, at::ones_like(s));
}

// s = E|x|^x_power / w^w_power: activations alone are w_power 0, AutoAWQ's duo scaling is w_power 1 - x_power.
struct Powers {
  double x = 0, w = 0;
};

struct Choice {
  Tensor s;
  AwqScale note;
};

class ScaleSearch {
 public:
  ScaleSearch(const Block& block, const ScaleGroup& group, const InputStats& stats, const BlockEncodings& encodings)
      : block_(block), group_(group), encodings_(encodings), gram_(stats.gram / double(stats.tokens)), x_(stats.absolute / double(stats.tokens)) {
    const int64_t K = x_.size(0);
    w_ = relative_weight(block, group, encodings[group.consumers[0]]->block_cols(K)) + 1e-4;
    best_.s = at::ones({K});
    best_.note.group = group.name;
    best_.note.error_before = best_.note.error_after = output_error(block, group, gram_, best_.s, encodings);
  }

  Choice run(const AwqOptions& options) {
    for (int i = 1; i < options.grid; ++i) attempt({double(i) / options.grid, 0});
    for (int i = 0; i < options.grid && options.duo_scaling; ++i) attempt({double(i) / options.grid, 1 - double(i) / options.grid});
    for (double step = 1.0 / options.grid; step > 0.25 / options.grid; step /= 2) {
      for (const double by : {-step, step}) attempt({at_.x + by, at_.w});
      if (options.duo_scaling)
        for (const double by : {-2 * step, 2 * step}) attempt({at_.x, at_.w + by});
    }
    best_.note.ratio = at_.x, best_.note.weight_ratio = at_.w;
    return std::move(best_);
  }

 private:
  void attempt(Powers powers) {
    if (powers.x < 0 || powers.w < 0) return;
    Tensor s = x_.pow(powers.x);
    if (powers.w > 0) s = s / w_.pow(powers.w);
    s = normalised(s);
    const double error = output_error(block_, group_, gram_, s, encodings_);
    if (!(error < best_.note.error_after)) return;  // NaN loses
    at_ = powers;
    best_.s = s;
    best_.note.error_after = error;
  }

  const Block& block_;
  const ScaleGroup& group_;
  const BlockEncodings& encodings_;
  Tensor gram_, x_, w_;
  Powers at_;
  Choice best_;
};

// The fold must survive storage: the norm is rounded to fp16 first, and the consumers get exactly what that took away.
Tensor fold(const ScaleGroup& group, const Tensor& s) {
  if (group.norm) {
    const Tensor rounded = (*group.norm / s).to(at::kHalf).to(at::kFloat);
    const Tensor exact = *group.norm / rounded;
    const Tensor usable = exact.isfinite().logical_and(exact > 0);
    *group.norm = at::where(usable, rounded, *group.norm);
    return at::where(usable, exact, at::ones_like(s));
  }
  group.producer->weight = group.producer->weight / s.unsqueeze(1);
  if (group.producer->bias.defined()) group.producer->bias = group.producer->bias / s;
  return s;
}

}  // namespace

std::vector<AwqScale> awq_transform(const ModelSpec& spec, Block& block, std::array<InputStats, 4>& stats, const BlockEncodings& encodings,
                                    const AwqOptions& options) {
  std::vector<ScaleGroup> groups = {{"input_layernorm -> q,k,v", {0, 1, 2}, 0, &block.attn_norm, nullptr}};
  // v's output feeds o through attention, channel by channel, only when every query head has its own value head.
  if (spec.heads == spec.kv_heads) groups.push_back({"v -> o", {3}, 1, nullptr, &block.linears[2]});
  groups.push_back({"post_attention_layernorm -> gate,up", {4, 5}, 2, &block.mlp_norm, nullptr});
  groups.push_back({"up -> down", {6}, 3, nullptr, &block.linears[5]});
  std::vector<AwqScale> notes;
  for (const auto& group : groups) {
    if (!std::all_of(group.consumers.begin(), group.consumers.end(), [&](size_t i) { return encodings[i] != nullptr; })) continue;
    auto& input = stats[size_t(group.input)];
    const Choice choice = ScaleSearch(block, group, input, encodings).run(options);
    notes.push_back(choice.note);
    const Tensor s = fold(group, choice.s);
    for (const size_t index : group.consumers) block.linears[index].weight = block.linears[index].weight * s;
    input.gram = input.gram / s.unsqueeze(1) / s.unsqueeze(0);
    input.square = input.square / s.square(), input.absolute = input.absolute / s, input.sum = input.sum / s;
  }
  return notes;
}

AwqResult awq_quantize(const Linear& linear, const InputStats& stats, const Encoding& encoding, const AwqOptions& options) {
  Tensor gram = stats.gram / double(stats.tokens);
  if (!linear.bias.defined()) return {round_by_output(linear.weight, gram, encoding, options.clip), {}};
  // The bias takes up what the error is on average: only the rest, the covariance of the inputs, has to be small.
  const Tensor mean = stats.sum / double(stats.tokens);
  gram.sub_(at::outer(mean, mean));
  AwqResult result{round_by_output(linear.weight, gram, encoding, options.clip), {}};
  result.bias = linear.bias + (linear.weight - decode(result.quantized.levels, result.quantized.grid)).mv(mean);
  return result;
}

}  // namespace teeny
