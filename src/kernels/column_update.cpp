#include "teeny/kernels/column_update.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/cuda/columns.h"
#include "kernels/level.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

struct RowView {
  float* w;        // (B)
  const float* u;  // (B, B)
  GridRow grid;
  const int64_t* group;  // (B)
  uint8_t* codes;
  float* error;
  int64_t B;
  double prune;
  int64_t prune_of;
  bool* pruned;  // (B), or null
};

// Marks the least salient of columns [begin, end); ties go to the earlier one.
void mark_pruned(const RowView& r, int64_t begin, int64_t end) {
  std::vector<std::pair<float, int64_t>> order;
  for (int64_t i = begin; i < end; ++i) {
    const float x = r.w[i] / r.u[i * r.B + i];
    order.emplace_back(x * x, i);
    r.pruned[i] = false;
  }
  const auto count = std::min(order.size(), size_t(std::llround(r.prune * double(end - begin))));
  std::partial_sort(order.begin(), order.begin() + ptrdiff_t(count), order.end());
  for (size_t i = 0; i < count; ++i) r.pruned[order[i].second] = true;
}


__attribute__((target_clones("avx512f", "avx2", "default"))) void spread_error(float* w, const float* u, float e, int64_t n) {
  for (int64_t j = 0; j < n; ++j) w[j] -= e * u[j];
}

float quantize_row(const RowView& r) {
  float loss = 0;
  for (int64_t i = 0; i < r.B; ++i) {
    if (r.pruned && i % r.prune_of == 0) mark_pruned(r, i, std::min(r.B, i + r.prune_of));
    const auto [q, value] = r.grid.nearest(r.pruned && r.pruned[i] ? 0 : r.w[i], r.group[i]);
    const float e = (r.w[i] - value) / r.u[i * r.B + i];
    r.codes[i] = uint8_t(q);
    r.error[i] = e;
    r.w[i] = value;
    loss += e * e / 2;
    spread_error(r.w + i + 1, r.u + i * r.B + i + 1, e, r.B - i - 1);
  }
  return loss;
}

const float* data(const Tensor& t) { return t.defined() ? t.const_data_ptr<float>() : nullptr; }

ColumnResult on_gpu(ColumnBlock& b) {
  const int64_t N = b.w.size(0), B = b.w.size(1);
  ColumnResult result{at::empty({N, B}, b.w.options().dtype(at::kByte)), at::empty_like(b.w), at::empty({N}, b.w.options()), {}};
  cuda::set_device(b.w.device().index());
  cuda::column_update({b.w.mutable_data_ptr<float>(), b.u.const_data_ptr<float>(),
                       {data(b.scale), data(b.zero), data(b.min), data(b.table), b.column_group.const_data_ptr<int64_t>(), b.scale.size(1), b.hi},
                       result.codes.mutable_data_ptr<uint8_t>(), result.error.mutable_data_ptr<float>(), result.loss.mutable_data_ptr<float>(), N, B},
                      nullptr);
  return result;
}

// Pruning sorts; where there is a GPU the block comes to the CPU for that and goes back.
ColumnResult by_way_of_the_cpu(ColumnBlock& b) {
  const auto here = [](const Tensor& t) { return t.defined() ? t.cpu() : t; };
  ColumnBlock block{here(b.w), here(b.u), here(b.scale), here(b.zero), here(b.min), here(b.column_group), here(b.table), b.hi, b.prune, b.prune_of};
  ColumnResult r = column_update(block);
  const auto there = [&](const Tensor& t) { return t.defined() ? t.to(b.w.device()) : t; };
  b.w.copy_(block.w);
  return {there(r.codes), there(r.error), there(r.loss), there(r.pruned)};
}

const float* row_of(const Tensor& t, int64_t row) { return t.defined() ? t.const_data_ptr<float>() + row * t.size(1) : nullptr; }

}  // namespace

ColumnResult column_update(ColumnBlock& block) {
  const int64_t N = block.w.size(0), B = block.w.size(1);
  TEENY_ASSERT(block.w.is_contiguous() && block.u.is_contiguous() && block.u.size(0) == B && block.u.size(1) == B);
  TEENY_ASSERT(block.scale.is_contiguous() && (!block.zero.defined() || block.zero.is_contiguous()) && (!block.min.defined() || block.min.is_contiguous()));
  if (block.w.is_cuda()) return block.prune > 0 || B > cuda::kMostColumns ? by_way_of_the_cpu(block) : on_gpu(block);
  ColumnResult result{at::empty({N, B}, at::kByte), at::empty({N, B}, at::kFloat), at::empty({N}, at::kFloat), {}};
  if (block.prune > 0) result.pruned = at::empty({N, B}, at::kBool);
  const int64_t prune_of = block.prune_of > 0 ? block.prune_of : B;
  float* w = block.w.mutable_data_ptr<float>();
  uint8_t* codes = result.codes.mutable_data_ptr<uint8_t>();
  float* error = result.error.mutable_data_ptr<float>();
  float* loss = result.loss.mutable_data_ptr<float>();
  const float* table = block.table.defined() ? block.table.const_data_ptr<float>() : nullptr;
  at::parallel_for(0, N, 8, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      loss[n] = quantize_row({w + n * B, block.u.const_data_ptr<float>(), {row_of(block.scale, n), row_of(block.zero, n), row_of(block.min, n), table, float(block.hi)},
                              block.column_group.const_data_ptr<int64_t>(), codes + n * B, error + n * B, B, block.prune, prune_of,
                              result.pruned.defined() ? result.pruned.mutable_data_ptr<bool>() + n * B : nullptr});
  });
  return result;
}

}  // namespace teeny
