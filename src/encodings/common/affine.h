// Affine grids w ~ scale * (q - zero) with scales of the stored type, shared by GPTQ, AWQ and compressed-tensors.
#pragma once
#include "teeny/encodings/encoding.h"

namespace teeny {

struct AffineShape {
  int bits = 4;
  int64_t group = 0;          // columns a group (already resolved: K for a row scale)
  bool symmetric = true;      // zero = 2^(bits-1), range +-absmax; else range [min(0, w), max(0, w)]
  int zero_min = 0;           // smallest storable zero point (1 in GPTQ v1)
  bool tensor_scale = false;  // one range for the whole tensor
  at::ScalarType scale_type = at::kHalf;  // scales are rounded to it
};

// w (N, cols) f32 -> grid with scale (N, G) rounded to scale_type and integer zero (N, G). With options.mse the range is shrunk
// by the factor in {1, 0.99 .. 0.21} that minimises the (importance-weighted) squared error of each group.
Grid fit_affine(const Tensor& w, const AffineShape& shape, const FitOptions& options);

// Codes (R, C) uint8 < 2^bits -> int32 (R * bits / 32, C): an LSB-first bit stream down each column. R % 32 == 0.
Tensor pack_bits(const Tensor& codes, int bits);
Tensor unpack_bits(const Tensor& words, int bits, int64_t rows);

// Codes (R, C) uint8 < 2^bits -> int32 (R, ceil(C * bits / 32)): an LSB-first bit stream along each row, zeros at its end.
Tensor pack_rows(const Tensor& codes, int bits);
Tensor unpack_rows(const Tensor& words, int bits, int64_t cols);

at::ScalarType scale_type(const EncodingSpec& spec);
// Scales as stored: of the spec's type, finite, or an Input error.
Tensor to_stored(const Tensor& scale, const EncodingSpec& spec);
// g_idx (K) of a file: undefined when it is k / group, else checked against G.
Tensor group_order(const Tensor& g_idx, int64_t group, int64_t G, const EncodingSpec& spec);

}  // namespace teeny
