// Sweeps of coordinate descent over codes: GPTQ's one pass cannot go back to a column, and rounding to nearest looks at no
// other column at all.
#pragma once
#include "teeny/tensor/quant_tensor.h"

namespace teeny {

// fixed (N, K) bool: codes that stay, or undefined. h (K, K) symmetric, in the columns' own order, diagonal > 0. Lowers tr(D H D^T) or leaves it, D = w - value.
void descend(const Tensor& w, Levels& levels, const Grid& grid, const Tensor& fixed, const Tensor& h, int64_t block, int sweeps);

}  // namespace teeny
