// From logits to numbers, one window at a time: negative log-likelihoods, and KL(reference || variant). T tokens, V vocabulary.
#pragma once
#include <cstdint>
#include <vector>

#include "teeny/tensor/quant_tensor.h"

namespace teeny {

// Position i of a window predicts token i + 1; positions first .. T - 2 are scored.
struct WindowScore {
  double nll = 0;      // summed over the scored positions, nats
  int64_t scored = 0;  // positions
  bool finite = true;
  double mean() const { return scored ? nll / double(scored) : 0; }
};
WindowScore score_window(const Tensor& logits, const std::vector<int32_t>& ids, int64_t first);

struct WindowDivergence {
  std::vector<double> kl;  // one a scored position, nats
  int64_t same_top = 0;    // positions at which both models rank the same token first
  bool finite = true;
  double mean() const;
};
// Both (T, V); a padded vocabulary may differ in V, the common part is compared.
WindowDivergence compare_window(const Tensor& reference, const Tensor& variant, int64_t first);

}  // namespace teeny
