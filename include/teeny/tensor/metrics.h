// How far a quantized weight is from the original.
#pragma once
#include "teeny/tensor/quant_tensor.h"

namespace teeny {

// Sums over the elements, so that a weight can be measured piece by piece.
struct ErrorSum {
  double difference = 0, original = 0;  // sum (w - q)^2, sum w^2
  void add(const Tensor& original_piece, const Tensor& quantized_piece);
  double relative() const;              // ||W - Q|| / ||W||, Frobenius; 0 for an all-zero weight kept as zeros
  double sqnr_db() const;               // 10 log10(||W||^2 / ||W - Q||^2); infinity when equal
};

// Input error naming `subject`, the first bad element and their number, unless `allow`: then they become 0. Returns their number.
int64_t require_finite(Tensor& w, std::string_view subject, bool allow);

}  // namespace teeny
