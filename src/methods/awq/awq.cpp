#include "teeny/methods/awq.h"

#include <algorithm>
#include <cmath>

#include "methods/awq/codes.h"
#include "methods/common/fold.h"
#include "teeny/core/error.h"
#include "teeny/kernels/fixed_order.h"

namespace teeny {
namespace {

// What the inputs of a group are like: the error that counts is E (d x)^2, and where a bias takes up its mean, the variance.
struct Inputs {
  Tensor gram, covariance;  // (K, K): mean of x x^T, and the same about the mean of x where there are biases
  Inputs(const InputStats& stats, bool biased) : gram(stats.gram / double(stats.tokens)) {
    if (!biased) return;
    const Tensor mean = stats.sum / double(stats.tokens);
    covariance = gram - at::outer(mean, mean);
  }
  const Tensor& error_of(const Linear& linear) const { return linear.bias.defined() ? covariance : gram; }
};

// Sum over the linears of tr(D G D^T) / tr(W G W^T) with D = dequantized(W s) / s - W: the relative squared output error,
// without activations. Relative, because q, k, v and gate, up differ in scale by orders of magnitude while a relative
// error in each of them harms alike. norms: tr(W G W^T) of each.
double output_error(const Block& block, const ScaleGroup& group, const Inputs& inputs, const std::vector<double>& norms, const Tensor& s, const BlockEncodings& encodings) {
  double error = 0;
  for (size_t i = 0; i < group.consumers.size(); ++i) {
    const size_t index = group.consumers[i];
    const Tensor& w = block.linears[index].weight;
    const auto [levels, grid] = encodings[index]->quantize(w * s, {});
    const Tensor d = decode(levels, grid).div_(s).sub_(w);
    error += energy(d, inputs.error_of(block.linears[index])) / norms[i];
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
      : block_(block), group_(group), encodings_(encodings), inputs_(stats, std::any_of(group.consumers.begin(), group.consumers.end(), [&](size_t i) { return block.linears[i].bias.defined(); })), x_(stats.absolute / double(stats.tokens)) {
    const int64_t K = x_.size(0);
    w_ = relative_weight(block, group, encodings[group.consumers[0]]->block_cols(K)) + 1e-4;
    for (const size_t index : group.consumers) norms_.push_back(std::max(energy(block.linears[index].weight, inputs_.gram), 1e-30));
    best_.s = at::ones({K}, x_.options());
    best_.note.group = group.name, best_.note.input = group.input;
    best_.note.error_before = best_.note.error_after = output_error(block, group, inputs_, norms_, best_.s, encodings);
  }

  Choice run(const AwqOptions& options) {
    for (int i = 1; i < options.grid; ++i) attempt({double(i) / options.grid, 0});
    if (options.duo_scaling)
      for (const double w : {0.25, 0.5, 0.75, 1.0})
        for (int i = 0; i < options.grid; i += 2) attempt({double(i) / options.grid, w});
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
    s = tied(group_, normalised(s));
    const double error = output_error(block_, group_, inputs_, norms_, s, encodings_);
    if (!(error < best_.note.error_after)) return;  // NaN loses
    at_ = powers;
    best_.s = s;
    best_.note.error_after = error;
  }

  const Block& block_;
  const ScaleGroup& group_;
  const BlockEncodings& encodings_;
  Inputs inputs_;
  std::vector<double> norms_;
  Tensor x_, w_;
  Powers at_;
  Choice best_;
};

}  // namespace

std::vector<AwqScale> awq_transform(const ModelSpec& spec, Block& block, std::array<InputStats, 4>& stats, const BlockEncodings& encodings,
                                    const AwqOptions& options) {
  std::vector<AwqScale> notes;
  for (const auto& group : scale_groups(spec, block)) {
    if (!std::all_of(group.consumers.begin(), group.consumers.end(), [&](size_t i) { return encodings[i] != nullptr; })) continue;
    auto& input = stats[size_t(group.input)];
    const Choice choice = ScaleSearch(block, group, input, encodings).run(options);
    notes.push_back(choice.note);
    const Tensor s = fold(block, group, choice.s, options.norm_type);
    input.gram = input.gram / s.unsqueeze(1) / s.unsqueeze(0);
    input.square = input.square / s.square(), input.absolute = input.absolute / s, input.sum = input.sum / s;
  }
  return notes;
}

AwqResult awq_quantize(const Linear& linear, const InputStats& stats, const Encoding& encoding, const AwqOptions& options) {
  const Inputs inputs(stats, linear.bias.defined());
  AwqResult result{round_by_output(linear.weight, inputs.error_of(linear), encoding, options.clip), {}};
  if (!linear.bias.defined()) return result;
  // The bias takes up what the error is on average.
  const Tensor mean = stats.sum / double(stats.tokens);
  result.bias = linear.bias + (linear.weight - decode(result.quantized.levels, result.quantized.grid)).mv(mean);
  return result;
}

}  // namespace teeny
