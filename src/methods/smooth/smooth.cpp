#include "teeny/methods/smooth.h"

#include <algorithm>

#include "methods/common/fold.h"
#include "teeny/kernels/fixed_order.h"

namespace teeny {
namespace {

constexpr double kAlphas[] = {0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9};

// Largest |w| of each column over all linears that read it.
Tensor weight_maxima(const Block& block, const ScaleGroup& group) {
  Tensor largest;
  for (const size_t index : group.consumers) {
    const Tensor here = block.linears[index].weight.abs().amax({0});
    largest = largest.defined() ? at::maximum(largest, here) : here;
  }
  return largest.clamp_min(1e-5);
}

Tensor scales(const Tensor& activations, const Tensor& weights, double alpha) {
  const Tensor s = (activations.clamp_min(1e-5).pow(alpha) / weights.pow(1 - alpha)).clamp_min(1e-5);
  return at::where(s.isfinite(), s, at::ones_like(s));
}

class AlphaSearch {
 public:
  AlphaSearch(const Block& block, const ScaleGroup& group, const InputStats& stats, const Tensor& sample, const BlockEncodings& encodings, bool statically)
      : block_(block), group_(group), stats_(stats), sample_(sample), encodings_(encodings), statically_(statically), weights_(weight_maxima(block, group)) {
    for (const size_t index : group.consumers) wanted_.push_back(fixed_matmul(sample, block.linears[index].weight.t()));
  }

  Tensor scale(double alpha) const { return alpha > 0 ? tied(group_, scales(stats_.largest, weights_, alpha)) : at::ones_like(stats_.largest); }

  // Sum over the linears of the relative squared error of what they put out for the sample.
  double error(double alpha) const {
    const Tensor s = scale(alpha), x = sample_ / s;
    const Tensor rounded = round_to_int8(x, statically_ ? static_scale(x, (stats_.largest / s).max().item<float>()) : Tensor(), {});
    double sum = 0;
    for (size_t i = 0; i < group_.consumers.size(); ++i) {
      const size_t index = group_.consumers[i];
      const auto [levels, grid] = encodings_[index]->quantize(block_.linears[index].weight * s, {});
      const Tensor d = fixed_matmul(rounded, decode(levels, grid).t()).sub_(wanted_[i]);
      sum += d.square().sum(at::kDouble).item<double>() / std::max(wanted_[i].square().sum(at::kDouble).item<double>(), 1e-30);
    }
    return sum;
  }

 private:
  const Block& block_;
  const ScaleGroup& group_;
  const InputStats& stats_;
  const Tensor& sample_;
  const BlockEncodings& encodings_;
  bool statically_;
  Tensor weights_;
  std::vector<Tensor> wanted_;
};

}  // namespace

std::vector<SmoothScale> smooth_block(const ModelSpec& spec, Block& block, std::array<InputStats, 4>& stats, std::array<Tensor, 4>& samples,
                                      const BlockEncodings& encodings, const SmoothOptions& options) {
  std::vector<SmoothScale> notes;
  for (const auto& group : scale_groups(spec, block)) {
    if (!std::all_of(group.consumers.begin(), group.consumers.end(), [&](size_t i) { return encodings[i] != nullptr; })) continue;
    auto& input = stats[size_t(group.input)];
    Tensor& sample = samples[size_t(group.input)];
    const AlphaSearch search(block, group, input, sample, encodings, options.statically);
    SmoothScale note{group.name, group.input, 0, search.error(0), 0};
    note.error_after = note.error_before;
    const auto consider = [&](double alpha, bool always) {
      const double error = search.error(alpha);
      if (always || error < note.error_after) note.alpha = alpha, note.error_after = error;
    };
    if (options.alpha > 0) consider(options.alpha, true);
    if (options.alpha < 0)
      for (const double alpha : kAlphas) consider(alpha, false);
    notes.push_back(note);
    if (note.alpha == 0) continue;
    const Tensor s = fold(block, group, search.scale(note.alpha), options.norm_type);
    input.largest = input.largest / s, input.square = input.square / s.square(), input.absolute = input.absolute / s, input.sum = input.sum / s;
    sample = sample / s;
  }
  return notes;
}

Tensor static_scale(const Tensor& sample, float absmax) {
  const float full = std::max(absmax, 1e-12f) / 127.5f;
  float best = full;
  double least = -1;
  for (int i = 0; i < 16; ++i) {
    const float scale = full * (1 - float(i) / 32);
    const double error = (round_to_int8(sample, at::full({1}, scale), {}) - sample).square().sum(at::kDouble).item<double>();
    if (least < 0 || error < least) least = error, best = scale;
  }
  return at::full({1}, best);
}

}  // namespace teeny
