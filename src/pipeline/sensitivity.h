// Measuring how much each weight's quantization costs (teeny/plan/sensitivity.h).
#pragma once
#include <map>

#include "pipeline/embed.h"
#include "teeny/plan/mix.h"

namespace teeny {

// Calibration text in two: what methods are fitted on, and pieces of at most 512 tokens that losses are judged by. The pieces
// are the beginnings of windows spread evenly over the text (whole windows, at most half of them, where these are that short).
struct HeldBack {
  Calibration fit;
  Windows judged;
  int64_t tokens() const;
};
HeldBack hold_back(const Calibration& calibration, int64_t tokens);  // Input error when the text is too short for both

// `base`: a plan without target (what make_plan gives before sensitivities are known). importance: from a file, or empty:
// then it comes from text.fit. One block of the model is in memory at a time, beside the hidden states of every changed model.
Sensitivity measure_sensitivity(const TensorSource& source, const Plan& base, const QuantizeOptions& options, const HeldBack& text, const std::map<std::string, Tensor>& importance,
                                Context& context);

}  // namespace teeny
