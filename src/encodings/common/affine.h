// Affine grids w ~ scale * (q - zero) with fp16 scales, shared by the GPTQ and AWQ layouts.
#pragma once
#include "teeny/encodings/encoding.h"

namespace teeny {

struct AffineShape {
  int bits = 4;
  int64_t group = 0;          // columns a group (already resolved: K for a row scale)
  bool symmetric = true;      // zero = 2^(bits-1), range +-absmax; else range [min(0, w), max(0, w)]
  int zero_min = 0;           // smallest storable zero point (1 in GPTQ v1)
  bool tensor_scale = false;  // one range for the whole tensor
};

// w (N, cols) f32 -> grid with scale (N, G) rounded to fp16 and integer zero (N, G). With options.mse the range is shrunk
// by the factor in {1, 0.99 .. 0.21} that minimises the (importance-weighted) squared error of each group.
Grid fit_affine(const Tensor& w, const AffineShape& shape, const FitOptions& options);

// Codes (R, C) uint8 < 2^bits -> int32 (R * bits / 32, C): an LSB-first bit stream down each column. R % 32 == 0.
Tensor pack_bits(const Tensor& codes, int bits);
Tensor unpack_bits(const Tensor& words, int bits, int64_t rows);

// Scales as stored: fp16, finite, or an Input error.
Tensor to_stored_half(const Tensor& scale, const EncodingSpec& spec);

}  // namespace teeny
