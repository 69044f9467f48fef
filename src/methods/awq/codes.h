// Codes and grid of one weight whose input statistics are known: rounding, with ranges and scales chosen by output error.
#pragma once
#include "teeny/encodings/encoding.h"

namespace teeny {

// w (N, K), gram (K, K) the mean of x x^T. `clip`: search each group's range by the group's own block of the Gram matrix,
// both ends apart, then give every row the scales that fit its codes best by least squares over all its groups, and move codes
// by coordinate descent (the same steps on CPU and GPU). Block types, whose scales are not free, are fitted with the diagonal as importance instead.
Quantized round_by_output(const Tensor& w, const Tensor& gram, const Encoding& encoding, bool clip);

}  // namespace teeny
