// column_update and column_descent on a GPU: a warp a row, the same operations in the same order, so the same bits.
#pragma once
#include <cstdint>

#include "teeny/kernels/cuda.h"

namespace teeny::cuda {

constexpr int64_t kMostColumns = 128;  // a block of columns: its square must fit shared memory

// Everything on the device and contiguous; null: undefined. Shapes as in column_update.h and column_descent.h.
struct GridView {
  const float *scale, *zero, *min, *table;
  const int64_t* group;  // (B)
  int64_t groups;        // of a row
  int hi;
};
struct UpdateView {
  float* w;
  const float* u;
  GridView grid;
  uint8_t* codes;
  float *error, *loss;
  int64_t rows, columns;
};
struct DescentView {
  float* residual;
  const float* h;
  GridView grid;
  const bool* fixed;
  uint8_t* codes;
  float* change;
  int64_t rows, columns;
};
void column_update(const UpdateView& view, cudaStream_t stream);
void column_descent(const DescentView& view, cudaStream_t stream);
// a (n, n): the lower triangle onto the upper.
void mirror_lower(float* a, int64_t n, cudaStream_t stream);
// Of x (rows, columns), contiguous: sums over each slice of `step` rows, (slices, 4, columns): x^2, |x|, x, max |x|.
void column_sums(const void* x, bool bf16, int64_t rows, int64_t columns, int64_t step, float* out, cudaStream_t stream);

}  // namespace teeny::cuda
