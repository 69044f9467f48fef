// The search for each group's range on a GPU.
#pragma once
#include <cstdint>

#include "teeny/kernels/cuda.h"

namespace teeny {

struct AffineSearchView {
  const float* w;           // (rows, cols)
  const float* importance;  // (cols), or null
  const float *low, *high;  // (rows, cols / group)
  float *scale, *zero;      // the same shape: the best of the factors 1, 0.99 .. 0.21
  int64_t rows, cols, group;
  int bits, zero_min;
  bool symmetric;
  int scale_kind;           // what scales are rounded to: 0 f16, 1 bf16, 2 f32
};
void search_affine_cuda(const AffineSearchView& view, cudaStream_t stream);

}  // namespace teeny
