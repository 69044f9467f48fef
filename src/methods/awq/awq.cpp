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

std::vector<Tensor> weights_of(const Block& block, const ScaleGroup& group) {
  std::vector<Tensor> all;
  for (const size_t index : group.consumers) all.push_back(block.linears[index].weight);
  return all;
}
// What a search compares is a sum over rows, so it may look at some of them, the same ones each time.
std::vector<Tensor> some_rows(const std::vector<Tensor>& weights, int64_t rows) {
  std::vector<Tensor> some;
  for (const Tensor& w : weights) some.push_back(w.size(0) <= rows ? w : w.slice(0, 0, w.size(0), w.size(0) / rows).contiguous());
  return some;
}

// Sum over the linears of tr(D G D^T) / tr(W G W^T) with D = dequantized(W s) / s - W: the relative squared output error,
// without activations. Relative, because q, k, v and gate, up differ in scale by orders of magnitude while a relative
// error in each of them harms alike. weights: of the consumers, all rows or some; norms: tr(W G W^T) of each.
double output_error(const Block& block, const ScaleGroup& group, const Inputs& inputs, const std::vector<Tensor>& weights, const std::vector<double>& norms, const Tensor& s,
                    const BlockEncodings& encodings) {
  double error = 0;
  for (size_t i = 0; i < group.consumers.size(); ++i) {
    const size_t index = group.consumers[i];
    const Tensor& w = weights[i];
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
    best_.s = at::ones({K}, x_.options());
    best_.note.group = group.name, best_.note.input = group.input;
  }

  Choice run(const AwqOptions& options) {
    weights_ = some_rows(weights_of(block_, group_), options.rows), norms_ = norms_of(weights_);
    least_ = error_of(best_.s);
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
    weights_ = weights_of(block_, group_), norms_ = norms_of(weights_);
    best_.note.error_before = error_of(at::ones_like(best_.s)), best_.note.error_after = error_of(best_.s);
    if (!(best_.note.error_after <= best_.note.error_before)) {  // better on the rows looked at alone
      best_.s = at::ones_like(best_.s);
      best_.note.ratio = best_.note.weight_ratio = 0, best_.note.error_after = best_.note.error_before;
    }
    return std::move(best_);
  }

 private:
  void attempt(Powers powers) {
    if (powers.x < 0 || powers.w < 0) return;
    Tensor s = x_.pow(powers.x);
    if (powers.w > 0) s = s / w_.pow(powers.w);
    s = tied(group_, normalised(s));
    const double error = error_of(s);
    if (!(error < least_)) return;  // NaN loses
    at_ = powers;
    best_.s = s;
    least_ = error;
  }
  double error_of(const Tensor& s) const { return output_error(block_, group_, inputs_, weights_, norms_, s, encodings_); }
  std::vector<double> norms_of(const std::vector<Tensor>& weights) const {
    std::vector<double> norms;
    for (const Tensor& w : weights) norms.push_back(std::max(energy(w, inputs_.gram), 1e-30));
    return norms;
  }

  const Block& block_;
  const ScaleGroup& group_;
  const BlockEncodings& encodings_;
  Inputs inputs_;
  std::vector<Tensor> weights_;
  std::vector<double> norms_;
  Tensor x_, w_;
  double least_ = 0;
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
