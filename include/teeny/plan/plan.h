// What quantize and convert will write, before anything is computed: every tensor, its encoding, method and bytes. Pure:
// the same inputs give the same plan, and every error about shapes, bits, groups and formats is thrown here.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "teeny/core/encoding_spec.h"
#include "teeny/core/engine.h"
#include "teeny/family/spec.h"

namespace teeny {

struct PlannedTensor {
  std::string module;                // canonical: "model.layers.0.mlp.up_proj", or a vector's "model.norm.weight"
  bool weight = true;                // a 2-D weight (N, K); else a vector (norm, bias) of N numbers
  EncodingSpec encoding;
  std::string method;                // "gptq", "awq", "rtn", "search", "plain", "recode" (codes of the source, kept)
  int64_t N = 0, K = 1;
  std::vector<EncodingPart> parts;   // one file tensor each; suffix holds its complete name in the file
  uint64_t bytes = 0;
  bool by_rule = false;              // a rule of the recipe decided: a target leaves it alone
  bool importance = true;            // GGML types: use importance where there is one
  std::string note;                  // why it differs from what was asked for; empty: it does not
};

// Mixed precision: what the target was and what is expected of the choice.
struct PlannedMix {
  std::string target, label;           // "4.5 bits per weight"; in the output's name: "4.5bpw"
  bool solved = false;                 // false: sensitivities must be measured first, the tensors are those without a target
  double kld = 0, ppl_increase = 0;    // predicted from the sensitivities; ppl_increase: ratio - 1
  uint64_t least_bytes = 0, most_bytes = 0;  // of the tensors: what targets can be reached
  // Not solved: what measuring takes.
  uint64_t measured = 0, runs = 0;     // candidates a group; changed models that are run
  int64_t tokens = 0;
  double flops = 0;
};

struct Plan {
  ModelSpec spec;
  std::string method, format, type, granularity;  // resolved: no defaults left; type only for GGUF
  int bits = 16;
  int64_t group = -1;
  bool symmetric = true;
  bool ordered = false;              // g_idx names groups that are not neighbours (desc_act)
  int act_bits = 16;
  bool act_static = false;
  std::string origin;                // convert: the method that chose the codes which are kept; else empty
  bool calibrated = false;           // needs calibration data
  ContainerKind container = ContainerKind::Safetensors;
  std::string dtype;                 // of unquantized tensors in safetensors: "F16", "BF16", "F32"
  std::vector<PlannedTensor> tensors;  // in the order in which they are written
  uint64_t bytes = 0;
  double bits_per_weight = 0;        // 8 * bytes / parameters
  std::optional<PlannedMix> mix;     // with a target
  uint64_t working_bytes = 0;        // host memory beyond mapped pages, an estimate: largest block and its statistics
  std::vector<std::pair<std::string, std::string>> runtimes;  // name -> "yes" or why not
};

// Encodings of the quantized weights with the modules that have each, the most used first; differences that no config
// states (types of scales, versions of zero points) are left out. And the block linears that are not quantized.
struct EncodingGroup {
  EncodingSpec encoding;
  std::vector<std::string> modules;
};
std::vector<EncodingGroup> encoding_groups(const Plan& plan);
std::vector<std::string> plain_linears(const Plan& plan);

inline constexpr const char* kRopeFreqs = "rope_freqs.weight";  // GGUF only: divisors of the rotary frequencies

// "0.5": that share of the weights of each block of columns; "2:4": 2 of every 4 neighbours. Usage error for anything else.
struct Sparsity {
  double share = 0;
  int64_t of = 0;  // neighbouring columns; 0: a whole block
};
Sparsity parse_sparsity(const std::string& text);  // "" is none

Plan make_plan(const TensorSource& source, const ModelSpec& spec, const QuantizeOptions& options);
Plan make_convert_plan(const TensorSource& source, const ModelSpec& spec, const ConvertOptions& options);
std::string default_output(const Plan& plan, const std::string& model_name);   // "./teeny-demo-7m-awq-4bit"
Json plan_json(const Plan& plan);                                              // for --dry-run and its record

}  // namespace teeny
