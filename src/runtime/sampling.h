// The draw of a token, keyed by (seed, prompt, step): neither the order nor the batch changes it.
#pragma once
#include <vector>

#include "teeny/tensor/quant_tensor.h"

namespace teeny {

double draw(uint64_t seed, uint64_t prompt, uint64_t step);  // in [0, 1)
int32_t sample(const Tensor& logits, double temperature, double top_p, double u);  // logits (V), on the host
// The same for rows of logits (m, V) on any device, one u each: (m) int64.
Tensor sample_rows(const Tensor& logits, double temperature, double top_p, const std::vector<double>& u);

}  // namespace teeny
