// Who can load a checkpoint, and why not: rules as data over a few facts (formats: 0, 1.4). The same for a plan and a file.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "teeny/plan/plan.h"

namespace teeny {

struct CheckpointFacts {
  std::string format;        // "gptq", "gptq-v2", "awq", "compressed-tensors", "bitsandbytes", "gguf", "safetensors"
  std::string layout;        // "pack-quantized", "int-quantized", "nf4" ...; GGUF: the file type
  int bits = 16;
  int64_t group = -1;
  bool symmetric = true, ordered = false, dynamic_rules = false, zero_point = true, has_config = true;
  int act_bits = 16;
  std::string unequal;       // shards that runtimes fuse, but that differ: "q_proj and k_proj of layer 3"; empty: none
  std::optional<ModelSpec> spec;  // absent: sizes are unknown
};
CheckpointFacts facts_of(const Plan& plan);
CheckpointFacts facts_of(const TensorSource& source, const QuantConfig& quant, const std::optional<ModelSpec>& spec);

struct Verdict {
  std::string runtime, loads;  // "yes", "partly", "no"
  std::string why;             // how, or why not and what to do; may be empty
};
std::vector<Verdict> judge_runtimes(const CheckpointFacts& facts);
// Why the linears cannot be split over `gpus`; empty: they can. Marlin's tiles are 128 columns and 64 rows.
std::string split_problem(const CheckpointFacts& facts, int gpus);

}  // namespace teeny
