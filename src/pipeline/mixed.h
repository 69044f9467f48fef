// What mixed precision adds to a run of quantize: sensitivities before it, a comparison with the original after it.
#pragma once
#include <optional>

#include "pipeline/sensitivity.h"

namespace teeny {

struct Mixed {
  Plan plan;
  std::optional<Sensitivity> sensitivity;
  std::optional<HeldBack> text;  // when calibration text was needed: methods use text->fit
  double seconds = 0;            // spent on measuring
};

// The plan of the options; with a target solved over the sensitivities in the file that they name, or measured here.
Mixed plan_mixed(const TensorSource& source, const ModelSpec& spec, const QuantizeOptions& options, Context& context);

// The record's quantize.mix, with the loss of what was written on the text that neither fitting nor the method saw, where
// there is such text. False: --max-ppl-increase was asked for and is exceeded there (warned of with code "check-failed").
bool verify_mixed(const TensorSource& source, const Mixed& mixed, const QuantizeOptions& options, const std::string& written, Json& mix, Context& context);

// What an interrupted run would have taken the measurement from.
void discard_measured(const std::string& output);

}  // namespace teeny
