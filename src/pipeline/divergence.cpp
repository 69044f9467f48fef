#include "pipeline/divergence.h"

#include <algorithm>

#include "teeny/core/error.h"
#include "teeny/kernels/fixed_order.h"

namespace teeny {
namespace {

constexpr int64_t kRows = 64;     // positions at a time: logits of a large vocabulary stay small
constexpr size_t kTogether = 16;  // variants that share the reference's logits
constexpr double kFar = 30;       // beyond it exp(difference) needs the maximum taken out first

struct Sums {
  double kld = 0, nll = 0;
};

Tensor logits(const ModelSpec& spec, const Head& head, const Tensor& hidden) { return at::linear(rms_norm(hidden, head.norm, spec.rms_eps), head.weight); }

// With d the difference of the logits and p the reference's probabilities: KL = log sum p e^d - sum p d, which keeps its digits
// where the two are almost equal (log-probabilities, subtracted, do not).
Sums compare(const Tensor& reference, const Tensor& p, const Tensor& variant, const Tensor& targets) {
  const Tensor d = variant - reference;  // (rows, V)
  Tensor log_sum;
  if (d.abs().max().item<float>() < kFar)
    log_sum = at::log1p((p * at::expm1(d)).sum(-1));
  else
    log_sum = variant.logsumexp({-1}) - reference.logsumexp({-1});
  const Tensor kld = (log_sum - (p * d).sum(-1)).clamp_min(0);
  const Tensor nll = log_sum - d.gather(1, targets.unsqueeze(1)).squeeze(1);
  return {kld.sum(at::kDouble).item<double>(), nll.sum(at::kDouble).item<double>()};
}

}  // namespace

Head load_head(const WeightLoader& loader, const ModelSpec& spec) {
  const auto f32 = at::TensorOptions().dtype(at::kFloat);
  return {loader.vector(kFinalNorm, spec.hidden), load_linear(loader, spec.tied ? "model.embed_tokens" : "lm_head", spec.vocab, spec.hidden, f32).weight};
}

std::vector<Divergence> divergences(const ModelSpec& spec, const Head& reference, const HiddenStates& hidden, const Head& variant, const std::vector<const Tensor*>& variants,
                                    const Windows& windows, const Context& context) {
  const size_t W = windows.size(), chunks = (variants.size() + kTogether - 1) / kTogether;
  std::vector<Sums> sums(variants.size() * W);
  for_each_single_threaded(int64_t(W * chunks), [&](int64_t item) {
    context.check_interrupted();
    const size_t w = size_t(item) / chunks, begin = size_t(item) % chunks * kTogether, end = std::min(begin + kTogether, variants.size());
    const Tensor ids = at::tensor(std::vector<int64_t>(windows[w].begin(), windows[w].end()), at::kLong);
    const int64_t scored = ids.size(0) - 1;
    for (int64_t row = 0; row < scored; row += kRows) {
      const int64_t rows = std::min(kRows, scored - row);
      const Tensor z = logits(spec, reference, hidden[w][0].narrow(0, row, rows)), p = z.softmax(-1), targets = ids.narrow(0, row + 1, rows);
      for (size_t v = begin; v < end; ++v) {
        const Sums part = compare(z, p, logits(spec, variant, variants[v][w][0].narrow(0, row, rows)), targets);
        sums[v * W + w].kld += part.kld, sums[v * W + w].nll += part.nll;
      }
    }
  });
  double scored = 0;
  for (const auto& window : windows) scored += double(window.size()) - 1;
  std::vector<Divergence> out(variants.size());
  for (size_t v = 0; v < variants.size(); ++v)
    for (size_t w = 0; w < W; ++w) out[v].kld += sums[v * W + w].kld / scored, out[v].nll += sums[v * W + w].nll / scored;
  return out;
}

Divergence compare_models(const TensorSource& reference, const TensorSource& variant, const Windows& windows, Context& context) {
  const auto f32 = at::TensorOptions().dtype(at::kFloat);
  const ModelSpec spec = read_spec(reference), other = read_spec(variant);
  const WeightLoader loader(reference, spec), other_loader(variant, other);
  HiddenStates hidden = embed_windows(reference, loader, spec, windows, reference.path()), changed = embed_windows(variant, other_loader, other, windows, variant.path());
  const Rope rope = make_rope(spec, longest(windows), at::kCPU);
  context.progress_start("verify", uint64_t(spec.layers) + 1);
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    advance(spec, load_block(loader, spec, layer, f32), hidden, rope, context);
    advance(other, load_block(other_loader, other, layer, f32), changed, rope, context);
    context.progress_advance();
  }
  const auto result = divergences(spec, load_head(loader, spec), hidden, load_head(other_loader, other), {changed.data()}, windows, context);
  context.progress_finish();
  return result[0];
}

}  // namespace teeny
