#include "teeny/methods/awq.h"

#include <algorithm>
#include <cmath>

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

Tensor candidate(const Tensor& x_mean, const Tensor& w_mean, double ratio, bool duo) {
  const Tensor top = x_mean.pow(ratio);
  return normalised(duo ? top / (w_mean.pow(1 - ratio) + 1e-4) : top);
}

struct Choice {
  Tensor s;
  AwqScale note;
};

Choice search(const Block& block, const ScaleGroup& group, const InputStats& stats, const BlockEncodings& encodings, const AwqOptions& options) {
  const int64_t K = stats.square.size(0);
  const Tensor gram = stats.gram / double(stats.tokens), x_mean = stats.absolute / double(stats.tokens);
  const Tensor w_mean = relative_weight(block, group, encodings[group.consumers[0]]->block_cols(K));
  Choice best{at::ones({K}), {group.name, 0, false, 0, 0}};
  best.note.error_before = best.note.error_after = output_error(block, group, gram, best.s, encodings);
  for (const bool duo : {false, true}) {
    if (duo && !options.duo_scaling) continue;
    for (int i = duo ? 0 : 1; i < options.grid; ++i) {
      const double ratio = double(i) / options.grid;
      const Tensor s = candidate(x_mean, w_mean, ratio, duo);
      const double error = output_error(block, group, gram, s, encodings);
      if (!(error < best.note.error_after)) continue;  // NaN loses
      best.s = s;
      best.note.ratio = ratio, best.note.duo = duo, best.note.error_after = error;
    }
  }
  return best;
}

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

// Per row and group the clip range in {1, 0.95 .. 0.55} x absmax with the lowest output error, by the group's own block of
// the Gram matrix.
Tensor clip(const Tensor& w, const Tensor& gram, const Encoding& encoding) {
  const int64_t N = w.size(0), K = w.size(1), columns = encoding.block_cols(K);
  Tensor out = w.clone();
  for_each_single_threaded(K / columns, [&](int64_t g) {
    const Tensor piece = w.slice(1, g * columns, (g + 1) * columns).contiguous();
    const Tensor block = gram.slice(0, g * columns, (g + 1) * columns).slice(1, g * columns, (g + 1) * columns).contiguous();
    const Tensor absmax = piece.abs().amax({1}, true);
    Tensor best_error = at::full({N, 1}, INFINITY), best = absmax;
    for (int i = 0; i < 10; ++i) {
      const Tensor limit = absmax * (1 - i / 20.0);
      const auto [levels, grid] = encoding.quantize(at::minimum(at::maximum(piece, -limit), limit), {});
      const Tensor d = decode(levels, grid).sub_(piece);
      const Tensor error = (d.mm(block) * d).sum(1, true);
      const Tensor better = error < best_error;
      best_error = at::where(better, error, best_error);
      best = at::where(better, limit, best);
    }
    out.slice(1, g * columns, (g + 1) * columns).copy_(at::minimum(at::maximum(piece, -best), best));
  });
  return out;
}

bool clippable(size_t linear) { return linear >= 2; }  // q and k are left alone: rope mixes their rows

}  // namespace

std::vector<AwqScale> awq_transform(const ModelSpec& spec, Block& block, const std::array<InputStats, 4>& input_stats, const BlockEncodings& encodings,
                                    const AwqOptions& options) {
  auto stats = input_stats;
  std::vector<ScaleGroup> groups = {{"input_layernorm -> q,k,v", {0, 1, 2}, 0, &block.attn_norm, nullptr}};
  // v's output feeds o through attention, channel by channel, only when every query head has its own value head.
  if (spec.heads == spec.kv_heads) groups.push_back({"v -> o", {3}, 1, nullptr, &block.linears[2]});
  groups.push_back({"post_attention_layernorm -> gate,up", {4, 5}, 2, &block.mlp_norm, nullptr});
  groups.push_back({"up -> down", {6}, 3, nullptr, &block.linears[5]});
  std::vector<AwqScale> notes;
  for (const auto& group : groups) {
    if (!std::all_of(group.consumers.begin(), group.consumers.end(), [&](size_t i) { return encodings[i] != nullptr; })) continue;
    auto& input = stats[size_t(group.input)];
    const Choice choice = search(block, group, input, encodings, options);
    notes.push_back(choice.note);
    const Tensor s = fold(group, choice.s);
    for (const size_t index : group.consumers) block.linears[index].weight = block.linears[index].weight * s;
    input.gram = input.gram / s.unsqueeze(1) / s.unsqueeze(0);
  }
  if (!options.clip) return notes;
  for (size_t i = 0; i < block.linears.size(); ++i)
    if (clippable(i) && encodings[i]) block.linears[i].weight = clip(block.linears[i].weight, stats[size_t(kLinears[i].input)].gram / double(stats[size_t(kLinears[i].input)].tokens), *encodings[i]);
  return notes;
}

}  // namespace teeny
