// Coordinate descent over codes on a fixed grid: column by column, the level that is best while all other columns keep
// theirs. It never raises tr(D H D^T), D = w - value. Rows are independent. On a GPU the same numbers come out, of blocks of at most 128.
#pragma once
#include "teeny/tensor/quant_tensor.h"

namespace teeny {

struct DescentBlock {
  Tensor residual;      // (N, B) f32: columns of D H; what the block's own changes do to them is added
  Tensor h;             // (B, B) f32, symmetric, diagonal > 0
  Tensor scale;         // (N, G) f32
  Tensor zero;          // (N, G) f32 or undefined
  Tensor min;           // (N, G) f32 or undefined
  Tensor column_group;  // (B) int64
  Tensor table;         // (hi + 1) f32 or undefined
  Tensor fixed;         // (N, B) bool: codes that stay as they are; or undefined
  int hi = 15;
};
// In place on codes (N, B) uint8, contiguous. Returns what the values changed by, (N, B) f32.
Tensor column_descent(DescentBlock& block, Tensor& codes);

}  // namespace teeny
