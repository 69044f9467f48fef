#include "methods/awq/codes.h"

#include <algorithm>
#include <cmath>

#include "methods/common/descent.h"
#include "teeny/kernels/fixed_order.h"

namespace teeny {
namespace {

constexpr int64_t kRows = 256;          // a task: rows are independent
constexpr int64_t kRowsOfGpu = 4096;    // the same on a GPU
constexpr double kKeep = 1e-3;          // pull of the least squares towards the scale that was searched
constexpr double kLowestShrink = 0.5;
constexpr int kSweeps = 2;              // of coordinate descent over the codes
constexpr double kDamp = 0.01;          // on the diagonal then, times its mean: as GPTQ

// Ranges of groups of columns, as shares of the full range below and above zero, by the error that counts: tr(d H d^T), d the
// error of a group's weights. On the CPU a group is searched alone; a
// GPU takes all groups in each of its launches.
class RangeSearch {
 public:
  // weights (rows, G * columns); gram: of one group (columns, columns), of several (G, columns, columns)
  RangeSearch(const Tensor& weights, const Tensor& gram, const Encoding& encoding)
      : weights_(weights), gram_(gram), encoding_(encoding), groups_(gram.dim() == 3 ? gram.size(0) : 1), columns_(gram.size(-1)) {
    const Tensor grouped = weights.view({weights.size(0), groups_, columns_});
    low_ = grouped.amin({2}).clamp_max_(0), high_ = grouped.amax({2}).clamp_min_(0);
    symmetric_ = encoding.spec().symmetric;
    if (symmetric_) {
      high_ = at::maximum(-low_, high_);
      low_ = -high_;
    }
    below_ = above_ = at::ones_like(low_);
    error_ = at::full_like(low_, INFINITY);
  }

  Quantized run() {
    for (int i = 0; i < 10; ++i) attempt(at::full_like(low_, 1 - i / 20.0), at::full_like(low_, 1 - i / 20.0));
    for (const double step : {0.1, 0.05, 0.025}) {
      if (symmetric_) {
        if (step < 0.05)
          for (const double by : {-step, step}) attempt(below_ + by, below_ + by);
        continue;
      }
      for (const double by : {-step, step}) attempt(below_ + by, above_);
      for (const double by : {-step, step}) attempt(below_, above_ + by);
    }
    return std::move(best_);
  }

 private:
  Tensor spread(const Tensor& t) const { return groups_ == 1 ? t : t.repeat_interleave(columns_, 1); }  // (rows, G) -> what broadcasts to weights_

  Tensor error_of(const Tensor& d) const {
    if (groups_ == 1) return (d.mm(gram_) * d).sum(1, true);
    const Tensor grouped = d.view({d.size(0), groups_, columns_}).transpose(0, 1);
    return (at::bmm(grouped, gram_) * grouped).sum(2).t();
  }

  void attempt(Tensor below, Tensor above) {
    below = below.clamp(kLowestShrink, 1), above = above.clamp(kLowestShrink, 1);
    const auto [levels, grid] = encoding_.quantize(at::minimum(at::maximum(weights_, spread(low_ * below)), spread(high_ * above)), {});
    const Tensor d = decode(levels, grid).sub_(weights_);
    const Tensor error = error_of(d), better = error < error_;
    if (!best_.levels.q.defined()) best_ = {{levels.q.clone()}, grid};
    const auto take = [](const Tensor& where, Tensor& into, const Tensor& from) {
      if (into.defined()) into = at::where(where, from, into);
    };
    take(better, error_, error), take(better, below_, below), take(better, above_, above);
    take(better, best_.grid.scale, grid.scale), take(better, best_.grid.zero, grid.zero);
    take(spread(better), best_.levels.q, levels.q);
  }

  const Tensor &weights_, &gram_;
  const Encoding& encoding_;
  Quantized best_;
  int64_t groups_, columns_;
  Tensor low_, high_, below_, above_, error_;  // (rows, G)
  bool symmetric_;
};

// Some rows of a weight, all groups: in pieces of one group each, or as one piece.
class Rows {
 public:
  Rows(const Tensor& w, const Tensor& gram, const std::vector<Tensor>& blocks, const Encoding& encoding, int64_t columns)
      : w_(w), gram_(gram), blocks_(blocks), encoding_(encoding), columns_(columns), pieces_(blocks.size()) {}

  Quantized run() {
    for (size_t p = 0; p < pieces_.size(); ++p) pieces_[p] = RangeSearch(columns_of(w_, p).contiguous(), blocks_[p], encoding_).run();
    refit();
    std::vector<Tensor> codes;
    std::vector<Grid> grids;
    for (auto& piece : pieces_) codes.push_back(piece.levels.q), grids.push_back(piece.grid);
    return {{at::cat(codes, 1)}, concat_columns(grids)};
  }

 private:
  int64_t width() const { return w_.size(1) / int64_t(pieces_.size()); }
  Tensor columns_of(const Tensor& t, size_t p) const { return t.slice(1, int64_t(p) * width(), int64_t(p + 1) * width()); }

  // Scales that minimise tr(D G D^T) with the codes as they are: one small system a row.
  void refit() {
    std::vector<Tensor> pieces, scales;
    for (const auto& piece : pieces_) {
      const Grid& grid = piece.grid;
      const Tensor q = piece.levels.q.to(at::kFloat);
      pieces.push_back(grid.zero.defined() ? q - (width() == columns_ ? grid.zero : grid.zero.repeat_interleave(columns_, 1)) : q);
      scales.push_back(grid.scale);
    }
    const Tensor steps = at::cat(pieces, 1), scale = at::cat(scales, 1);
    const int64_t rows = w_.size(0), G = scale.size(1), each = width() / columns_;
    Tensor a = at::empty({rows, G, G}, w_.options()), b = at::empty({rows, G}, w_.options());
    for (int64_t g = 0; g < G; ++g) {
      const Tensor product = steps.slice(1, g * columns_, (g + 1) * columns_).mm(gram_.slice(0, g * columns_, (g + 1) * columns_));  // (rows, K)
      a.select(1, g).copy_((product * steps).view({rows, G, columns_}).sum(2));
      b.select(1, g).copy_((product * w_).sum(1));
    }
    const Tensor pull = a.diagonal(0, 1, 2).mean({1}, true) * kKeep;  // (rows, 1)
    a.diagonal(0, 1, 2).add_(pull);
    b.add_(pull * scale);
    const Tensor fitted = encoding_.storable_scale(std::get<0>(at::linalg_solve_ex(a, b.unsqueeze(2))).squeeze(2));
    // A scale never turns round or runs away: codes were chosen for the searched one.
    const Tensor usable = fitted.isfinite().logical_and(fitted > scale * 0.5).logical_and(fitted < scale * 2);
    const Tensor settled = at::where(usable, fitted, scale);
    for (size_t p = 0; p < pieces_.size(); ++p) pieces_[p].grid.scale = settled.slice(1, int64_t(p) * each, int64_t(p + 1) * each).contiguous();
  }

  const Tensor &w_, &gram_;
  const std::vector<Tensor>& blocks_;
  const Encoding& encoding_;
  int64_t columns_;  // of a group
  std::vector<Quantized> pieces_;
};

Grid stack_rows(const std::vector<Quantized>& parts) {
  Grid grid = parts[0].grid;
  const auto stack = [&](Tensor Grid::*member) {
    if (!(grid.*member).defined()) return;
    std::vector<Tensor> all;
    for (const auto& part : parts) all.push_back(part.grid.*member);
    grid.*member = at::cat(all);
  };
  stack(&Grid::scale), stack(&Grid::zero), stack(&Grid::min);
  return grid;
}

}  // namespace

Quantized round_by_output(const Tensor& w, const Tensor& gram, const Encoding& encoding, bool clip) {
  const int64_t N = w.size(0), K = w.size(1), columns = encoding.block_cols(K);
  if (encoding.spec().kind == EncodingKind::Ggml) return encoding.quantize(w, {gram.diagonal().clamp_min(0).contiguous(), false, false});
  if (!clip || encoding.spec().tensor_scale) return encoding.quantize(w, {});
  std::vector<Tensor> blocks;
  const int64_t step = w.is_cuda() ? kRowsOfGpu : kRows;
  if (w.is_cuda())
    blocks.push_back(gram.view({K / columns, columns, K / columns, columns}).diagonal(0, 0, 2).permute({2, 0, 1}).contiguous());
  else
    for (int64_t g = 0; g < K; g += columns) blocks.push_back(gram.slice(0, g, g + columns).slice(1, g, g + columns).contiguous());
  std::vector<Quantized> parts(size_t((N + step - 1) / step));
  const auto work = [&](int64_t i) {
    const Tensor rows = w.slice(0, i * step, std::min(N, (i + 1) * step)).contiguous();
    parts[size_t(i)] = Rows(rows, gram, blocks, encoding, columns).run();
  };
  if (!w.is_cuda()) for_each_single_threaded(int64_t(parts.size()), work);
  else
    for (int64_t i = 0; i < int64_t(parts.size()); ++i) work(i);
  std::vector<Tensor> codes;
  for (const auto& part : parts) codes.push_back(part.levels.q);
  Quantized q{{at::cat(codes)}, stack_rows(parts)};
  Tensor h = gram.clone();
  h.diagonal().add_(gram.diagonal().mean() * kDamp);
  descend(w, q.levels, q.grid, {}, h, std::min<int64_t>(128, columns), kSweeps);
  return q;
}

}  // namespace teeny
