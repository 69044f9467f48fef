// AWQ (Lin et al., arXiv 2306.00978): input channels that carry large activations are scaled up before rounding, the
// inverse is folded into the operation before. Codes are rounded, each group's range chosen by the error of the output.
#pragma once
#include <array>
#include <memory>
#include <string>

#include "teeny/calib/collect.h"
#include "teeny/encodings/encoding.h"
#include "teeny/family/spec.h"

namespace teeny {

struct AwqOptions {
  int grid = 20;             // powers r = 0, 1/grid .. tried for s = E|x|^r, then finer steps around the best
  bool duo_scaling = true;   // also try s = E|x|^r / mean|w|^t for several t
  bool clip = true;          // search ranges and scales by output error
  at::ScalarType norm_type = at::kHalf;  // of the norms as stored: scales are folded into them exactly
  int64_t rows = 1024;       // of a weight, which the search of scales looks at: evenly spaced ones of more
};

// What was chosen for one scaled group, for the record.
struct AwqScale {
  std::string group;         // "input_layernorm -> q,k,v"
  int input = 0;             // LinearSlot::input
  double ratio = 0, weight_ratio = 0;        // r and t
  double error_before = 0, error_after = 0;  // relative squared output error, at s = 1 and at the chosen s
};

using BlockEncodings = std::array<std::shared_ptr<const Encoding>, 7>;  // of the block's linears, in the order of kLinears; null: not quantized

// Scales and folds `block` in place: norms, weights and biases change so that the block computes the same function before
// rounding. Norms end up exactly representable in norm_type. `stats` (with gram) are of the block's own inputs, before and after.
std::vector<AwqScale> awq_transform(const ModelSpec& spec, Block& block, std::array<InputStats, 4>& stats, const BlockEncodings& encodings,
                                    const AwqOptions& options);

struct AwqResult {
  Quantized quantized;
  Tensor bias;  // takes the place of linear.bias; undefined when it has none
};
AwqResult awq_quantize(const Linear& linear, const InputStats& stats, const Encoding& encoding, const AwqOptions& options);

}  // namespace teeny
