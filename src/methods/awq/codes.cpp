#include "methods/awq/codes.h"

#include <algorithm>
#include <cmath>

#include "teeny/kernels/fixed_order.h"

namespace teeny {
namespace {

constexpr int64_t kRows = 256;          // a task of the least squares
constexpr int64_t kRowsOfGpu = 2048;    // the same on a GPU
constexpr double kKeep = 1e-3;          // pull of the least squares towards the scale that was searched
constexpr double kLowestShrink = 0.5;

// Ranges of groups of columns for all rows, as shares of the full range below and above zero. On the CPU a group is one
// task; a GPU takes all groups of a weight in each of its launches.
class RangeSearch {
 public:
  // piece (N, G * columns); gram: of one group (columns, columns), of several (G, columns, columns)
  RangeSearch(const Tensor& piece, const Tensor& gram, const Encoding& encoding)
      : piece_(piece), gram_(gram), encoding_(encoding), groups_(gram.dim() == 3 ? gram.size(0) : 1), columns_(gram.size(-1)) {
    const Tensor grouped = piece.view({piece.size(0), groups_, columns_});
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
  Tensor spread(const Tensor& t) const { return groups_ == 1 ? t : t.repeat_interleave(columns_, 1); }  // (N, G) -> what broadcasts to piece_

  Tensor error_of(const Tensor& d) const {  // (N, G)
    if (groups_ == 1) return (d.mm(gram_) * d).sum(1, true);
    const Tensor grouped = d.view({d.size(0), groups_, columns_}).transpose(0, 1);
    return (at::bmm(grouped, gram_) * grouped).sum(2).t();
  }

  void attempt(Tensor below, Tensor above) {
    below = below.clamp(kLowestShrink, 1), above = above.clamp(kLowestShrink, 1);
    const auto [levels, grid] = encoding_.quantize(at::minimum(at::maximum(piece_, spread(low_ * below)), spread(high_ * above)), {});
    const Tensor error = error_of(decode(levels, grid).sub_(piece_)), better = error < error_;
    if (!best_.levels.q.defined()) best_ = {{levels.q.clone()}, grid};
    const auto take = [](const Tensor& where, Tensor& into, const Tensor& from) {
      if (into.defined()) into = at::where(where, from, into);
    };
    take(better, error_, error), take(better, below_, below), take(better, above_, above);
    take(better, best_.grid.scale, grid.scale), take(better, best_.grid.zero, grid.zero);
    take(spread(better), best_.levels.q, levels.q);
  }

  const Tensor &piece_, &gram_;
  const Encoding& encoding_;
  int64_t groups_, columns_;
  Tensor low_, high_, below_, above_, error_;  // (N, G)
  bool symmetric_;
  Quantized best_;
};

// Scales of rows [begin, end) that minimise tr(D H D^T) with the codes as they are: one small system a row.
Tensor fitted_scales(const Tensor& w, const Tensor& steps, const Tensor& scale, const Tensor& gram, int64_t group) {
  const int64_t rows = w.size(0), G = scale.size(1);
  Tensor a = at::empty({rows, G, G}, w.options()), b = at::empty({rows, G}, w.options());
  for (int64_t g = 0; g < G; ++g) {
    const Tensor product = steps.slice(1, g * group, (g + 1) * group).mm(gram.slice(0, g * group, (g + 1) * group));  // (rows, K)
    a.select(1, g).copy_((product * steps).view({rows, G, group}).sum(2));
    b.select(1, g).copy_((product * w).sum(1));
  }
  const Tensor pull = a.diagonal(0, 1, 2).mean({1}, true) * kKeep;  // (rows, 1)
  a.diagonal(0, 1, 2).add_(pull);
  b.add_(pull * scale);
  return std::get<0>(at::linalg_solve_ex(a, b.unsqueeze(2))).squeeze(2);
}

void refit(const Tensor& w, const Tensor& gram, const Encoding& encoding, Quantized& out) {
  Grid& grid = out.grid;
  const int64_t N = w.size(0);
  Tensor steps = out.levels.q.to(at::kFloat);
  if (grid.zero.defined()) steps.sub_(grid.zero.repeat_interleave(grid.group, 1));
  Tensor fitted = at::empty_like(grid.scale);
  const int64_t step = w.is_cuda() ? kRowsOfGpu : kRows;
  const auto fit = [&](int64_t i) {
    const int64_t begin = i * step, end = std::min(N, begin + step);
    const auto rows = [&](const Tensor& t) { return t.slice(0, begin, end); };
    rows(fitted).copy_(fitted_scales(rows(w), rows(steps), rows(grid.scale), gram, grid.group));
  };
  if (!w.is_cuda()) for_each_single_threaded((N + step - 1) / step, fit);
  else
    for (int64_t i = 0; i * step < N; ++i) fit(i);
  fitted = encoding.storable_scale(fitted);
  // A scale never turns round or runs away: codes were chosen for the searched one.
  const Tensor usable = fitted.isfinite().logical_and(fitted > grid.scale * 0.5).logical_and(fitted < grid.scale * 2);
  grid.scale = at::where(usable, fitted, grid.scale);
}

}  // namespace

Quantized round_by_output(const Tensor& w, const Tensor& gram, const Encoding& encoding, bool clip) {
  const int64_t K = w.size(1), columns = encoding.block_cols(K);
  if (encoding.spec().kind == EncodingKind::Ggml) return encoding.quantize(w, {gram.diagonal().clamp_min(0).contiguous(), false, false});
  if (!clip || encoding.spec().tensor_scale) return encoding.quantize(w, {});
  const auto refitted = [&](Quantized out) {
    refit(w, gram, encoding, out);
    return out;
  };
  if (w.is_cuda()) {
    const Tensor tiles = gram.view({K / columns, columns, K / columns, columns});
    return refitted(RangeSearch(w.contiguous(), tiles.diagonal(0, 0, 2).permute({2, 0, 1}).contiguous(), encoding).run());
  }
  std::vector<Quantized> pieces(size_t(K / columns));
  for_each_single_threaded(K / columns, [&](int64_t g) {
    const Tensor piece = w.slice(1, g * columns, (g + 1) * columns).contiguous();
    const Tensor block = gram.slice(0, g * columns, (g + 1) * columns).slice(1, g * columns, (g + 1) * columns).contiguous();
    pieces[size_t(g)] = RangeSearch(piece, block, encoding).run();
  });
  std::vector<Tensor> codes;
  std::vector<Grid> grids;
  for (auto& piece : pieces) codes.push_back(piece.levels.q), grids.push_back(piece.grid);
  return refitted({{at::cat(codes, 1)}, concat_columns(grids)});
}

}  // namespace teeny
