// Between the solver and the planner: the encodings that were chosen, by module.
#pragma once
#include <map>
#include <string>

#include "plan/choice.h"

namespace teeny {

struct MixPick {
  EncodingSpec encoding;
  bool importance = true;
};
using MixPicks = std::map<std::string, MixPick>;

// The plan of `options` without regard to a target, with the weights in `picks` encoded as they say.
Plan plan_with(const TensorSource& source, const ModelSpec& spec, const QuantizeOptions& options, const MixPicks& picks);

// Bytes of the files that hold the tensors, headers and padding too: a GGUF file or all parts, or the .safetensors files.
uint64_t file_bytes(const Plan& plan, const TensorSource& source, const QuantizeOptions& options);

// What a target cannot be combined with: Usage where options contradict each other, Input where a format cannot hold mixes.
void check_mix(const QuantizeOptions& options, const Choice& choice);
// A plan without losses to solve over yet: what measuring would cost, and whether the target is in reach at all.
Plan plan_unmeasured(const TensorSource& source, const ModelSpec& spec, const QuantizeOptions& options);

}  // namespace teeny
