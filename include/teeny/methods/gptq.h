// GPTQ (Frantar, Ashkboos, Hoefler, Alistarh: arXiv 2210.17323): quantize column by column, spreading each column's error
// over the columns that are still free, along the Cholesky factor of the inverse Hessian of the layer's input.
#pragma once
#include <string>

#include "teeny/calib/collect.h"
#include "teeny/encodings/encoding.h"

namespace teeny {

struct GptqOptions {
  double damp = 0.01;        // added to the diagonal, times its mean; raised step by step until the factor exists
  int64_t block = 128;       // columns updated lazily together
  bool act_order = true;     // columns by falling diag(H); groups are fixed beforehand from the original order (static)
  bool desc_act = false;     // act-order with groups formed in the permuted order: needs g_idx when run
  bool mse = true;           // importance-weighted search of each group's range
  // Columns that stay together (a super-block): blocks by falling importance, columns within them too, and each block's
  // grid is fitted to the weights as the columns before have left them. 0: not so. Goes before act_order and desc_act.
  int64_t together = 0;
  // Share of the weights that become 0, of every `prune_of` columns (0: of each block). Columns go in their own order then.
  double prune = 0;
  int64_t prune_of = 0;
  int sweeps = 2;            // coordinate descent over the codes afterwards
  bool tensor_cores = false; // on a GPU: errors are spread with products of 10-bit fractions (TF32), factors stay f32
};

// What linears that share an input share: the factor and the order.
struct GptqFactor {
  Tensor u;              // (K, K) upper, in the order `order`; undefined: none exists, round to nearest instead
  Tensor order;          // (K) int64: column processed at each step
  Tensor h;              // (K, K) damped Hessian in the columns' own order; undefined without sweeps
  Tensor importance;     // (K) f32 E[x^2], dead columns 1
  double damp = 0;       // as used
  int64_t dead_columns = 0;
};
// Takes stats.gram away: of the (K, K) matrices never more than four are held, three without sweeps.
GptqFactor gptq_factor(InputStats& stats, const GptqOptions& options);

struct GptqResult {
  Quantized quantized;
  double loss = 0;       // sum over rows and columns of (w - q)^2 / u_ii^2 / 2 of the one pass, before the sweeps
  Tensor pruned;         // (N, K) bool; undefined without pruning
};
GptqResult gptq_quantize(const Tensor& w, const GptqFactor& factor, const Encoding& encoding, const GptqOptions& options);

}  // namespace teeny
