#include "teeny/methods/gptq.h"

#include <algorithm>
#include <utility>

#include "methods/common/descent.h"
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

// Columns that are updated lazily together change nothing but the order of sums; a GPU's kernels take so many at most.
int64_t columns_together(const Tensor& w, const GptqOptions& options) { return w.is_cuda() ? std::min<int64_t>(options.block, 128) : options.block; }

Tensor numbers(int64_t n, const Tensor& like) { return at::arange(n, like.options().dtype(at::kLong)); }

// One pass over the columns of w in the factor's order.
class ColumnLoop {
 public:
  ColumnLoop(const Tensor& w, const GptqFactor& factor, const GptqOptions& options)
      : w_(w.index_select(1, factor.order)), u_(factor.u), options_(options), block_(columns_together(w, options)), codes_(at::empty({w.size(0), w.size(1)}, w.options().dtype(at::kByte))), loss_(at::zeros({}, w.options().dtype(at::kDouble))) {
    if (options.prune > 0) pruned_ = at::empty({w.size(0), w.size(1)}, w.options().dtype(at::kBool));
  }

  // Columns [begin, end) on `grid`; group_of: (end - begin) groups of the grid.
  void run(int64_t begin, int64_t end, const Grid& grid, const Tensor& group_of) {
    const Tensor scale = grid.scale.contiguous();
    const Tensor zero = grid.zero.defined() ? grid.zero.contiguous() : Tensor(), min = grid.min.defined() ? grid.min.contiguous() : Tensor();
    for (int64_t i = begin; i < end; i += block_) {
      const int64_t stop = std::min(end, i + block_);
      ColumnBlock block{w_.slice(1, i, stop).contiguous(), u_.slice(0, i, stop).slice(1, i, stop).contiguous(), scale, zero, min,
                        group_of.slice(0, i - begin, stop - begin).contiguous(), grid.table, grid.hi, options_.prune, options_.prune_of};
      const auto result = column_update(block);
      codes_.slice(1, i, stop).copy_(result.codes);
      if (pruned_.defined()) pruned_.slice(1, i, stop).copy_(result.pruned);
      loss_.add_(result.loss.sum(at::kDouble));
      if (stop < w_.size(1)) {
        Tensor rest = w_.slice(1, stop);
        subtract_product(rest, result.error, u_.slice(0, i, stop).slice(1, stop));
      }
    }
  }

  Tensor columns(int64_t begin, int64_t end) const { return w_.slice(1, begin, end).contiguous(); }
  const Tensor& codes() const { return codes_; }  // in processing order
  const Tensor& pruned() const { return pruned_; }  // undefined without pruning
  double loss() const { return loss_.item<double>(); }

 private:
  Tensor w_, u_;
  const GptqOptions& options_;
  int64_t block_;
  Tensor codes_, pruned_;
  Tensor loss_;  // one number, where the weights are
};

Tensor original_order(const Tensor& codes, const Tensor& order) {
  Tensor out = at::empty_like(codes);
  out.index_copy_(1, order, codes);
  return out;
}

// Groups fixed before any column moves: the grid is fitted to the original weights, so no g_idx is needed when run.
GptqResult with_static_groups(const Tensor& w, const GptqFactor& factor, const Encoding& encoding, const GptqOptions& options) {
  const Grid grid = encoding.fit(w, {factor.importance, false, options.mse});
  ColumnLoop loop(w, factor, options);
  loop.run(0, w.size(1), grid, factor.order.div(grid.group, "floor"));
  return {{{original_order(loop.codes(), factor.order)}, grid}, loop.loss(), {}};
}

// Each group's grid is fitted when its first column is reached, to the weights as the columns before have left them.
GptqResult with_dynamic_groups(const Tensor& w, const GptqFactor& factor, const Encoding& encoding, const GptqOptions& options) {
  const int64_t K = w.size(1), step = encoding.block_cols(K);
  const Tensor importance = factor.importance.index_select(0, factor.order);
  ColumnLoop loop(w, factor, options);
  std::vector<Grid> grids;
  for (int64_t begin = 0; begin < K; begin += step) {
    const int64_t end = std::min(K, begin + step);
    grids.push_back(encoding.fit(loop.columns(begin, end), {importance.slice(0, begin, end), false, options.mse}));
    loop.run(begin, end, grids.back(), numbers(end - begin, w).div(grids.back().group, "floor"));
  }
  Grid grid = concat_columns(grids);
  if (options.desc_act) {
    grid.g_idx = at::empty_like(factor.order);
    grid.g_idx.index_copy_(0, factor.order, numbers(K, w).div(grid.group, "floor"));
  }
  return {{{original_order(loop.codes(), factor.order)}, grid}, loop.loss(), loop.pruned().defined() ? original_order(loop.pruned(), factor.order) : Tensor()};
}

// Super-blocks: each keeps its place in the file, but blocks and the columns in them are taken by falling importance.
GptqResult with_whole_blocks(const Tensor& w, const GptqFactor& factor, const Encoding& encoding, const GptqOptions& options) {
  const int64_t K = w.size(1), step = encoding.block_cols(K);
  TEENY_ASSERT(options.together % step == 0);
  ColumnLoop loop(w, factor, options);
  std::vector<Grid> grids(size_t(K / step));
  for (int64_t begin = 0; begin < K; begin += options.together) {
    const int64_t end = std::min(K, begin + options.together);
    const Tensor order = factor.order.slice(0, begin, end);
    const auto [places, sorted] = order.sort();
    const int64_t first = places[0].item<int64_t>();
    const Grid grid = encoding.fit(loop.columns(begin, end).index_select(1, sorted), {factor.importance.slice(0, first, first + end - begin), false, options.mse});
    loop.run(begin, end, grid, (order - first).div(grid.group, "floor"));
    const int64_t blocks = (end - begin) / step;
    for (int64_t b = 0; b < blocks; ++b) grids[size_t(first / step + b)] = slice_columns(grid, b, blocks);
  }
  return {{{original_order(loop.codes(), factor.order)}, concat_columns(grids)}, loop.loss(), {}};
}

// Blocks of `together` columns by falling mean of the diagonal, columns of each by falling diagonal.
Tensor order_of_blocks(const Tensor& diagonal, int64_t together) {
  const int64_t K = diagonal.size(0);
  std::vector<std::pair<double, int64_t>> blocks;
  for (int64_t begin = 0; begin < K; begin += together) {
    const Tensor piece = diagonal.slice(0, begin, std::min(K, begin + together));
    blocks.emplace_back(-piece.mean(at::kDouble).item<double>(), begin);
  }
  std::sort(blocks.begin(), blocks.end());
  std::vector<Tensor> order;
  for (const auto& [mean, begin] : blocks)
    order.push_back(std::get<1>(diagonal.slice(0, begin, std::min(K, begin + together)).sort(/*stable=*/true, 0, /*descending=*/true)) + begin);
  return at::cat(order);
}

Tensor column_order(const Tensor& diagonal, const GptqOptions& options) {
  if (options.together > 0) return order_of_blocks(diagonal, options.together);
  if (options.prune == 0 && (options.act_order || options.desc_act)) return std::get<1>(diagonal.sort(/*stable=*/true, 0, /*descending=*/true));
  return numbers(diagonal.size(0), diagonal);
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
  factor.order = column_order(diagonal, options);
  const Tensor reversed = factor.order.flip(0);
  Tensor gram = std::exchange(stats.gram, Tensor()), h = gram.index_select(0, reversed);
  if (options.sweeps == 0) gram = Tensor();
  h = h.index_select(1, reversed);
  h.diagonal().copy_(diagonal.index_select(0, reversed));
  factor.u = factor_with_ladder(std::move(h), options.damp, &factor.damp);
  if (options.sweeps == 0) return factor;
  gram.diagonal().copy_(diagonal + factor.damp * diagonal.mean().item<double>());
  factor.h = gram;
  return factor;
}

GptqResult gptq_quantize(const Tensor& w, const GptqFactor& factor, const Encoding& encoding, const GptqOptions& options) {
  if (!factor.u.defined()) return {encoding.quantize(w, {factor.importance, false, options.mse}), 0, {}};
  const TensorCores products(options.tensor_cores);
  GptqResult result = options.together > 0                       ? with_whole_blocks(w, factor, encoding, options)
                      : options.act_order && !options.desc_act && options.prune == 0 ? with_static_groups(w, factor, encoding, options)
                                                                : with_dynamic_groups(w, factor, encoding, options);
  if (options.sweeps > 0) descend(w, result.quantized.levels, result.quantized.grid, result.pruned, factor.h, columns_together(w, options), options.sweeps);
  return result;
}

}  // namespace teeny
