#include "teeny/methods/gptq.h"

#include <utility>

#include "teeny/core/error.h"
#include "teeny/kernels/column_update.h"
#include "teeny/kernels/fixed_order.h"

namespace teeny {
namespace {

// Damping first, then a floor under the diagonal; what was needed is reported. `h`: symmetric, rows and columns in reverse
// order; consumed (it is as large as anything in memory here, so the factor takes its place). Undefined result: nothing helped.
Tensor factor_with_ladder(Tensor h, double damp, double* used) {
  const Tensor diagonal = h.diagonal().clone(), tiles = diagonal_tiles(h);
  bool fresh = true;
  const double mean = diagonal.mean().item<double>(), top = diagonal.max().item<double>();
  const auto attempt = [&](const Tensor& damped) {
    if (!std::exchange(fresh, false)) restore_lower(h, tiles);
    h.diagonal().copy_(damped);
    return cholesky_in_place(h) ? upper_from_reversed_factor(h) : Tensor();
  };
  std::vector<double> ladder = {damp};
  for (int i = 1; i <= 6; ++i) ladder.push_back(damp + 0.01 * i);
  for (const double d : {0.1, 0.2, 0.5, 1.0})
    if (d > ladder.back()) ladder.push_back(d);
  for (const double d : ladder) {
    *used = d;
    if (const Tensor u = attempt(diagonal + d * mean); u.defined()) return u;
  }
  for (double floor = 1e-6 * top; floor < 2 * top; floor *= 10) {
    *used = 1 + floor / std::max(mean, 1e-30);
    if (const Tensor u = attempt(diagonal.clamp_min(floor) + mean); u.defined()) return u;
  }
  return {};
}

// One pass over the columns of w in the factor's order.
class ColumnLoop {
 public:
  ColumnLoop(const Tensor& w, const GptqFactor& factor, int64_t block)
      : w_(w.index_select(1, factor.order)), u_(factor.u), block_(block), codes_(at::empty({w.size(0), w.size(1)}, at::kByte)) {}

  // Columns [begin, end) on `grid`; group_of: (end - begin) groups of the grid.
  void run(int64_t begin, int64_t end, const Grid& grid, const Tensor& group_of) {
    const Tensor scale = grid.scale.contiguous();
    const Tensor zero = grid.zero.defined() ? grid.zero.contiguous() : Tensor(), min = grid.min.defined() ? grid.min.contiguous() : Tensor();
    for (int64_t i = begin; i < end; i += block_) {
      const int64_t stop = std::min(end, i + block_);
      ColumnBlock block{w_.slice(1, i, stop).contiguous(), u_.slice(0, i, stop).slice(1, i, stop).contiguous(), scale, zero, min,
                        group_of.slice(0, i - begin, stop - begin).contiguous(), grid.hi};
      const auto result = column_update(block);
      codes_.slice(1, i, stop).copy_(result.codes);
      loss_ += result.loss.sum(at::kDouble).item<double>();
      if (stop < w_.size(1)) {
        Tensor rest = w_.slice(1, stop);
        subtract_product(rest, result.error, u_.slice(0, i, stop).slice(1, stop));
      }
    }
  }

  Tensor columns(int64_t begin, int64_t end) const { return w_.slice(1, begin, end).contiguous(); }
  const Tensor& codes() const { return codes_; }  // in processing order
  double loss() const { return loss_; }

 private:
  Tensor w_, u_;
  int64_t block_;
  Tensor codes_;
  double loss_ = 0;
};

Tensor original_order(const Tensor& codes, const Tensor& order) {
  Tensor out = at::empty_like(codes);
  out.index_copy_(1, order, codes);
  return out;
}

// Groups fixed before any column moves: the grid is fitted to the original weights, so no g_idx is needed when run.
GptqResult with_static_groups(const Tensor& w, const GptqFactor& factor, const Encoding& encoding, const GptqOptions& options) {
  const Grid grid = encoding.fit(w, {factor.importance, false, options.mse});
  ColumnLoop loop(w, factor, options.block);
  loop.run(0, w.size(1), grid, factor.order.div(grid.group, "floor"));
  return {{{original_order(loop.codes(), factor.order)}, grid}, loop.loss()};
}

// Each group's grid is fitted when its first column is reached, to the weights as the columns before have left them.
GptqResult with_dynamic_groups(const Tensor& w, const GptqFactor& factor, const Encoding& encoding, const GptqOptions& options) {
  const int64_t K = w.size(1), step = encoding.block_cols(K);
  const Tensor importance = factor.importance.index_select(0, factor.order);
  ColumnLoop loop(w, factor, options.block);
  std::vector<Grid> grids;
  for (int64_t begin = 0; begin < K; begin += step) {
    const int64_t end = std::min(K, begin + step);
    grids.push_back(encoding.fit(loop.columns(begin, end), {importance.slice(0, begin, end), false, options.mse}));
    loop.run(begin, end, grids.back(), at::arange(end - begin, at::kLong).div(grids.back().group, "floor"));
  }
  Grid grid = concat_columns(grids);
  if (options.desc_act) {
    grid.g_idx = at::empty({K}, at::kLong);
    grid.g_idx.index_copy_(0, factor.order, at::arange(K, at::kLong).div(grid.group, "floor"));
  }
  return {{{original_order(loop.codes(), factor.order)}, grid}, loop.loss()};
}

}  // namespace

GptqFactor gptq_factor(InputStats& stats, const GptqOptions& options) {
  TEENY_ASSERT(stats.gram.defined() && stats.tokens > 0);
  GptqFactor factor;
  factor.importance = stats.importance();
  const Tensor diagonal = stats.gram.diagonal().clone(), dead = diagonal == 0;
  factor.dead_columns = dead.sum().item<int64_t>();
  // A column that calibration never excites may matter elsewhere: it keeps its rounded value (not zero). With nothing off
  // its diagonal it neither gives nor takes error.
  diagonal.masked_fill_(dead, 1.0);
  factor.importance.masked_fill_(dead, 1.0);
  const int64_t K = diagonal.size(0);
  factor.order = options.act_order || options.desc_act ? std::get<1>(diagonal.sort(/*stable=*/true, 0, /*descending=*/true)) : at::arange(K, at::kLong);
  const Tensor reversed = factor.order.flip(0);
  Tensor h = std::exchange(stats.gram, Tensor()).index_select(0, reversed);
  h = h.index_select(1, reversed);
  h.diagonal().copy_(diagonal.index_select(0, reversed));
  factor.u = factor_with_ladder(std::move(h), options.damp, &factor.damp);
  return factor;
}

GptqResult gptq_quantize(const Tensor& w, const GptqFactor& factor, const Encoding& encoding, const GptqOptions& options) {
  if (!factor.u.defined()) return {encoding.quantize(w, {factor.importance, false, options.mse}), 0};
  return options.act_order && !options.desc_act ? with_static_groups(w, factor, encoding, options) : with_dynamic_groups(w, factor, encoding, options);
}

}  // namespace teeny
