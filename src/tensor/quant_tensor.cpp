#include "teeny/tensor/quant_tensor.h"

#include "teeny/core/error.h"

namespace teeny {
namespace {

// (N, G) -> (N, K): each group's number repeated over its columns.
Tensor spread(const Tensor& per_group, const Grid& grid, int64_t K) {
  if (grid.g_idx.defined()) return per_group.index_select(1, grid.g_idx);
  return per_group.repeat_interleave(grid.group, 1).slice(1, 0, K);
}

}  // namespace

const Tensor& QuantTensor::part(std::string_view suffix) const {
  for (const auto& [name, tensor] : parts)
    if (name == suffix) return tensor;
  throw Error(ErrorKind::Bug, "tensor", spec.name(), fmt::format("has no part \"{}\"", suffix));
}

Tensor decode(const Levels& levels, const Grid& grid) {
  const int64_t K = levels.q.size(1);
  if (grid.table.defined()) return grid.table.index({levels.q.to(at::kLong)}).mul_(spread(grid.scale, grid, K));
  Tensor w = levels.q.to(at::kFloat);
  if (grid.zero.defined()) w.sub_(spread(grid.zero, grid, K));
  w.mul_(spread(grid.scale, grid, K));
  if (grid.min.defined()) w.sub_(spread(grid.min, grid, K));
  return w;
}

Levels nearest(const Tensor& w, const Grid& grid) {
  const int64_t K = w.size(1);
  const Tensor scale = spread(grid.scale, grid, K);
  Tensor x = grid.min.defined() ? w + spread(grid.min, grid, K) : w.clone();
  x.div_(scale);
  x.masked_fill_(scale == 0, 0);
  if (grid.table.defined()) {
    const int64_t n = grid.table.size(0);
    const Tensor middles = (grid.table.slice(0, 1, n) + grid.table.slice(0, 0, n - 1)) * 0.5;
    return {at::bucketize(x, middles, /*out_int32=*/true, /*right=*/true).to(at::kByte)};
  }
  x.round_();
  if (grid.zero.defined()) x.add_(spread(grid.zero, grid, K));
  return {x.clamp_(0, grid.hi).to(at::kByte)};
}

Grid slice_rows(const Grid& grid, int64_t begin, int64_t end) {
  Grid out = grid;
  const auto cut = [&](const Tensor& t) { return t.defined() ? t.slice(0, begin, end) : t; };
  out.scale = cut(grid.scale), out.zero = cut(grid.zero), out.min = cut(grid.min);
  for (auto& [name, tensor] : out.parts)
    if (tensor.dim() > 1 || tensor.size(0) == grid.scale.size(0)) tensor = cut(tensor);
  return out;
}

Grid concat_columns(const std::vector<Grid>& grids) {
  TEENY_ASSERT(!grids.empty());
  Grid out = grids[0];
  if (grids.size() == 1) return out;
  const auto join = [&](auto member) {
    if (!member(grids[0]).defined()) return Tensor();
    std::vector<Tensor> pieces;
    for (const auto& grid : grids) pieces.push_back(member(grid));
    return at::cat(pieces, 1);
  };
  out.scale = join([](const Grid& g) { return g.scale; });
  out.zero = join([](const Grid& g) { return g.zero; });
  out.min = join([](const Grid& g) { return g.min; });
  for (size_t i = 0; i < out.parts.size(); ++i)  // what is not per row (tables, input scales) is the same in all
    if (out.parts[i].second.dim() > 1) out.parts[i].second = join([i](const Grid& g) { return g.parts[i].second; });
  return out;
}

}  // namespace teeny
