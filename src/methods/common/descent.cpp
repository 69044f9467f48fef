#include "methods/common/descent.h"

#include <algorithm>

#include "teeny/kernels/column_descent.h"
#include "teeny/kernels/fixed_order.h"

namespace teeny {

void descend(const Tensor& w, Levels& levels, const Grid& grid, const Tensor& fixed, const Tensor& h, int64_t block, int sweeps) {
  const int64_t K = w.size(1);
  const bool on_gpu = w.is_cuda();
  const auto whole = [](const Tensor& t) { return t.defined() ? t.contiguous() : t; };
  const Tensor scale = whole(grid.scale), zero = whole(grid.zero), min = whole(grid.min);
  const Tensor group = grid.g_idx.defined() ? grid.g_idx : at::arange(K, w.options().dtype(at::kLong)).div(grid.group, "floor");
  Tensor residual = fixed_matmul(w - decode(levels, grid), h);
  for (int sweep = 0; sweep < sweeps; ++sweep) {
    bool moved = false;
    Tensor any = on_gpu ? at::zeros({}, w.options().dtype(at::kBool)) : Tensor();
    for (int64_t begin = 0; begin < K; begin += block) {
      const int64_t end = std::min(K, begin + block);
      Tensor codes = levels.q.slice(1, begin, end).contiguous();
      DescentBlock piece{residual.slice(1, begin, end).contiguous(), h.slice(0, begin, end).slice(1, begin, end).contiguous(), scale, zero, min,
                         group.slice(0, begin, end).contiguous(), grid.table,
                         fixed.defined() ? fixed.slice(1, begin, end).contiguous() : Tensor(), grid.hi};
      const Tensor change = column_descent(piece, codes);
      if (on_gpu) any = any.logical_or(change.any());  // looked at once a sweep: waiting costs more than an idle product
      else if (!change.any().item<bool>()) continue;
      else moved = true;
      levels.q.slice(1, begin, end).copy_(codes);
      subtract_product(residual, change, h.slice(0, begin, end));
    }
    if (!(on_gpu ? any.item<bool>() : moved)) return;
  }
}

}  // namespace teeny
