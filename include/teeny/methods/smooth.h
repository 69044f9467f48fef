// SmoothQuant (Xiao et al., arXiv 2211.10438): channels with large activations are divided before they are rounded to int8,
// and the weights that read them multiplied. And static scales of activations.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "teeny/calib/collect.h"
#include "teeny/methods/awq.h"

namespace teeny {

struct SmoothOptions {
  double alpha = -1;     // s = max|x|^alpha / max|w|^(1 - alpha); 0: none; negative: each group's best of a grid, none among them
  bool statically = false;  // activations get one scale from calibration, else one a token
  at::ScalarType norm_type = at::kHalf;  // of the norms as stored
};

// What was chosen for one scaled group, for the record.
struct SmoothScale {
  std::string group;
  int input = 0;     // LinearSlot::input
  double alpha = 0;  // 0: none
  double error_before = 0, error_after = 0;  // relative squared error of the outputs on the sample
};

// Scales `block` in place. stats: maxima of all inputs; samples: some rows of each, (T, K). Both follow the scaling.
std::vector<SmoothScale> smooth_block(const ModelSpec& spec, Block& block, std::array<InputStats, 4>& stats, std::array<Tensor, 4>& samples,
                                      const BlockEncodings& encodings, const SmoothOptions& options);

// The scale for int8 of inputs like the sample, with the least squared error: absmax / 127.5 or a little less.
Tensor static_scale(const Tensor& sample, float absmax);

}  // namespace teeny
