#include "eval/scoring.h"

#include <cmath>

#include "teeny/core/error.h"

namespace teeny {
namespace {
// Rows that are worked on at a time: the temporaries of a large vocabulary stay small.
constexpr int64_t kRows = 64;
}  // namespace

WindowScore score_window(const Tensor& logits, const std::vector<int32_t>& ids, int64_t first) {
  const int64_t T = logits.size(0);
  TEENY_ASSERT(logits.dim() == 2 && T == int64_t(ids.size()) && first >= 0);
  WindowScore out;
  const Tensor targets = at::tensor(std::vector<int64_t>(ids.begin(), ids.end()), at::kLong).to(logits.device());  // (T,)
  for (int64_t row = first; row < T - 1; row += kRows) {
    const int64_t rows = std::min(kRows, T - 1 - row);
    const Tensor logp = at::log_softmax(logits.narrow(0, row, rows).to(at::kFloat), -1);                   // (rows, V)
    const Tensor picked = logp.gather(1, targets.narrow(0, row + 1, rows).unsqueeze(1)).to(at::kDouble);  // (rows, 1)
    out.nll -= picked.sum().item<double>();
    out.scored += rows;
  }
  out.finite = std::isfinite(out.nll);
  return out;
}

double WindowDivergence::mean() const {
  double sum = 0;
  for (const double v : kl) sum += v;
  return kl.empty() ? 0 : sum / double(kl.size());
}

WindowDivergence compare_window(const Tensor& reference, const Tensor& variant, int64_t first) {
  const int64_t T = reference.size(0), V = std::min(reference.size(1), variant.size(1));
  TEENY_ASSERT(variant.size(0) == T && first >= 0);
  WindowDivergence out;
  for (int64_t row = first; row < T - 1; row += kRows) {
    const int64_t rows = std::min(kRows, T - 1 - row);
    const Tensor r = reference.narrow(0, row, rows).narrow(1, 0, V), v = variant.narrow(0, row, rows).narrow(1, 0, V).to(r.device());
    // In double: an 8-bit variant's divergence is about 1e-5, where the rounding of fp32 log-probabilities already shows.
    const Tensor logp = at::log_softmax(r.to(at::kDouble), -1), logq = at::log_softmax(v.to(at::kDouble), -1);
    // -inf in the reference is probability 0 and contributes 0.
    const Tensor p = logp.exp();
    const Tensor terms = at::where(p > 0, p * (logp - logq), at::zeros({}, p.options()));
    const Tensor kl = terms.sum(-1).clamp_min(0).cpu().contiguous();  // (rows,); >= 0 but for rounding
    const double* values = kl.const_data_ptr<double>();
    out.kl.insert(out.kl.end(), values, values + rows);
    out.same_top += r.argmax(-1).eq(v.argmax(-1)).sum().item<int64_t>();
  }
  for (const double v : out.kl) out.finite = out.finite && std::isfinite(v);
  return out;
}

}  // namespace teeny
