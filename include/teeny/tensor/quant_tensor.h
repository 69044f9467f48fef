// The waist between methods and encodings: integer codes (Levels) on a Grid that the encoding can store exactly.
#pragma once
#include <ATen/ATen.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "teeny/core/encoding_spec.h"

namespace teeny {

using Tensor = at::Tensor;
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// Value of code q in column k of row n, with g = k / group:  scale[n,g] * (q - zero[n,g]) - min[n,g]
// All floats are exactly what the stored form decodes to. Codes are 0..hi. An empty zero or min is all zeros.
struct Grid {
  Tensor scale;        // (N, G) f32
  Tensor zero;         // (N, G) f32, integer-valued, or undefined
  Tensor min;          // (N, G) f32, or undefined
  int64_t group = 0;   // columns a group; G = ceil(cols / group)
  Tensor g_idx;        // (K) int64: group of each column, or undefined (k / group)
  Tensor table;        // (hi + 1) f32 ascending: a codebook, value = scale[n,g] * table[q], with neither zero nor min; or undefined
  int hi = 15;
  NamedTensors parts;  // what pack() needs to store the scales (super-block scales, 6-bit sub-scales ...); opaque to methods
};

struct Levels {
  Tensor q;  // (N, K) uint8, codes 0..grid.hi
};

// An encoded weight: logical shape (N, K) and the parts that encoding_parts(spec, N, K) names, in that order.
struct QuantTensor {
  EncodingSpec spec;
  int64_t N = 0, K = 0;
  NamedTensors parts;
  const Tensor& part(std::string_view suffix) const;  // Bug error when absent
};

using Weight = std::variant<Tensor, QuantTensor>;  // Tensor: (N, K), any float dtype

Tensor decode(const Levels& levels, const Grid& grid);    // (N, K) f32
Levels nearest(const Tensor& w, const Grid& grid);        // round((w + min) / scale) + zero, half to even, clamped to 0..hi; scale 0 -> zero; the nearest level of a table
Grid slice_rows(const Grid& grid, int64_t begin, int64_t end);
// Piece `index` of `pieces` equal ones along the columns; without g_idx.
Grid slice_columns(const Grid& grid, int64_t index, int64_t pieces);
Grid concat_columns(const std::vector<Grid>& grids);      // grids of neighbouring column blocks of the same rows

}  // namespace teeny
