// Mixed precision: which encodings each weight could get, what measuring them costs, and the choice for a target.
#pragma once
#include <string>
#include <vector>

#include "teeny/plan/plan.h"
#include "teeny/plan/sensitivity.h"

namespace teeny {

// An encoding's name without what only the container decides, so that a file serves gptq, gptq-v2 and compressed-tensors:
// "w4_g128_sym", GGUF's "q4_k", "plain" for what is not quantized.
std::string candidate_label(const EncodingSpec& spec);

struct MixCandidate {
  std::string label;
  EncodingSpec encoding;
  uint64_t bytes = 0;          // of all tensors of the group
  bool plain = false;          // not quantized: its loss is 0 by definition
};
// Tensors that change together: alone in GGUF; elsewhere q, k, v and gate, up (loaders fuse them, formats.md 1.4).
struct MixGroup {
  std::string name;
  std::vector<std::string> modules;
  std::vector<MixCandidate> candidates;  // by rising bits; the same number in every group, so that number c is one candidate
                                         // for the whole model (where K cannot hold it, its fallback)
  double bits_per_weight(size_t candidate) const { return 8.0 * double(candidates[candidate].bytes) / double(weights); }
  int64_t weights = 0;
};

// Weights of a plan without target that a target may change: not those of a recipe, outside GGUF only the blocks' linears.
// only: labels' types or bits to choose from ("Q4_K", "4"; QuantizeOptions::candidates), empty: all. Usage error for one that
// the format does not have.
std::vector<MixGroup> mix_groups(const Plan& base, const std::vector<std::string>& only);

// How the sensitivities will be measured: by running the model on the held-back text with every candidate of every group in
// turn; where that is estimated at more than 1e13 operations or 2 GB of hidden states, with three candidates a group (the
// smallest, the largest, one near 4.5 bits), and where that is too much as well, with the one near 4.5 bits. The others are
// interpolated along the error of the linear's outputs, which costs no run. A function of the model and the candidates
// alone, so that the result is too.
struct MeasurePlan {
  std::vector<size_t> candidates;  // that are run
  size_t runs = 0;           // changed models that are carried through the blocks
  int64_t tokens = 0;        // of held-back text, wanted
  double flops = 0;          // of these runs
  uint64_t bytes = 0;        // of their hidden states
};
MeasurePlan plan_measurement(const ModelSpec& spec, const std::vector<MixGroup>& groups);

bool wants_mix(const QuantizeOptions& options);       // a target was given
bool wants_measuring(const QuantizeOptions& options); // a target without a file to take the losses from, or --save-sensitivity

// The plan for options with a target, solved over `sensitivity`. Input error when it belongs to another model or lacks the
// format's encodings, or when the target is out of reach.
Plan make_mixed_plan(const TensorSource& source, const ModelSpec& spec, const QuantizeOptions& options, const Sensitivity& sensitivity);

Json mix_json(const Plan& plan);  // of plan.mix
// The record's quantize.sensitivity: every group with what it got and what each candidate would have cost.
Json sensitivity_record(const Sensitivity& sensitivity, const Plan& plan);

}  // namespace teeny
