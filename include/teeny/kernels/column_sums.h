// Sums over the rows of what a linear reads, on a GPU.
#pragma once
#include "teeny/tensor/quant_tensor.h"

namespace teeny {

// x (T, K) f32 or bf16, contiguous, on a GPU -> (ceil(T / step), 4, K) f32: of each slice of `step` rows the sums of x^2, |x|
// and x, and the largest |x|, each column added row after row.
Tensor column_sums(const Tensor& x, int64_t step);

}  // namespace teeny
