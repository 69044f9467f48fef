// GPTQ's inner loop over one block of columns (Frantar et al., arXiv 2210.17323, algorithm 1): quantize a column, spread
// its error over the columns that follow. Rows are independent. On a GPU the same numbers come out, bit for bit.
#pragma once
#include "teeny/tensor/quant_tensor.h"

namespace teeny {

struct ColumnBlock {
  Tensor w;             // (N, B) f32, in: current weights; out: the values of the codes
  Tensor u;             // (B, B) f32, upper triangle of the inverse's Cholesky factor for these columns
  Tensor scale;         // (N, G) f32
  Tensor zero;          // (N, G) f32 or undefined
  Tensor min;           // (N, G) f32 or undefined
  Tensor column_group;  // (B) int64: the grid's group of each column
  Tensor table;         // (hi + 1) f32 ascending, with neither zero nor min; or undefined
  int hi = 15;
  // Of every `prune_of` columns (0: of the whole block) the share `prune` with the smallest w^2 / u_ii^2 of each row becomes
  // 0, chosen when the first of them is reached. The grid must hold 0 exactly.
  double prune = 0;
  int64_t prune_of = 0;
};
struct ColumnResult {
  Tensor codes;  // (N, B) uint8
  Tensor error;  // (N, B) f32: (w - value) / u_ii, to be spread over the columns after the block
  Tensor loss;   // (N) f32: sum of error^2 / 2
  Tensor pruned; // (N, B) bool; undefined without pruning
};
ColumnResult column_update(ColumnBlock& block);

}  // namespace teeny
