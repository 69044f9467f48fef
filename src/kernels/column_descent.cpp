#include "teeny/kernels/column_descent.h"

#include <ATen/Parallel.h>

#include "kernels/cuda/columns.h"
#include "kernels/level.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

__attribute__((target_clones("avx512f", "avx2", "default"))) void subtract_scaled(float* r, const float* h, float by, int64_t n) {
  for (int64_t j = 0; j < n; ++j) r[j] -= by * h[j];
}

const float* data(const Tensor& t) { return t.defined() ? t.const_data_ptr<float>() : nullptr; }

Tensor on_gpu(DescentBlock& b, Tensor& codes) {
  const int64_t N = b.residual.size(0), B = b.residual.size(1);
  Tensor change = at::empty_like(b.residual);
  cuda::set_device(codes.device().index());
  cuda::column_descent({b.residual.mutable_data_ptr<float>(), b.h.const_data_ptr<float>(),
                        {data(b.scale), data(b.zero), data(b.min), data(b.table), b.column_group.const_data_ptr<int64_t>(), b.scale.size(1), b.hi},
                        b.fixed.defined() ? b.fixed.const_data_ptr<bool>() : nullptr, codes.mutable_data_ptr<uint8_t>(), change.mutable_data_ptr<float>(), N, B},
                       nullptr);
  return change;
}

const float* row_of(const Tensor& t, int64_t row) { return t.defined() ? t.const_data_ptr<float>() + row * t.size(1) : nullptr; }

}  // namespace

Tensor column_descent(DescentBlock& block, Tensor& codes) {
  const int64_t N = block.residual.size(0), B = block.residual.size(1);
  TEENY_ASSERT(block.residual.is_contiguous() && block.h.is_contiguous() && codes.is_contiguous() && block.scale.is_contiguous());
  if (codes.is_cuda()) {
    TEENY_ASSERT(B <= cuda::kMostColumns);
    return on_gpu(block, codes);
  }
  Tensor change = at::empty({N, B}, at::kFloat);
  const int64_t* group = block.column_group.const_data_ptr<int64_t>();
  const float* h = block.h.const_data_ptr<float>();
  float* all_residual = block.residual.mutable_data_ptr<float>();
  uint8_t* all_codes = codes.mutable_data_ptr<uint8_t>();
  float* all_change = change.mutable_data_ptr<float>();
  const bool* fixed = block.fixed.defined() ? block.fixed.const_data_ptr<bool>() : nullptr;
  at::parallel_for(0, N, 8, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const GridRow grid{row_of(block.scale, n), row_of(block.zero, n), row_of(block.min, n), block.table.defined() ? block.table.const_data_ptr<float>() : nullptr, float(block.hi)};
      float* residual = all_residual + n * B;
      for (int64_t i = 0; i < B; ++i) {
        const float old = grid.value(all_codes[n * B + i], group[i]), own = h[i * B + i];
        // d tr(D H D^T) / d value = -2 residual: the free minimum lies residual / h_ii away.
        const bool stays = fixed && fixed[n * B + i];
        const auto [code, value] = stays ? Level{0, old} : grid.nearest(old + residual[i] / own, group[i]);
        const float by = value - old;
        all_change[n * B + i] = by;
        if (by == 0) continue;
        all_codes[n * B + i] = uint8_t(code);
        subtract_scaled(residual, h + i * B, by, B);
      }
    }
  });
  return change;
}

}  // namespace teeny
