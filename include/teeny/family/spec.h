// A model family as data. One ModelSpec drives the one forward pass; nothing below this header knows family names.
// Tensor names are canonical: Hugging Face's, whatever file they come from (family/names.h maps GGUF's).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "teeny/containers/source.h"

namespace teeny {

struct RopeScaling {
  // "", "linear", "llama3"; "factors": a GGUF file's rope_freqs that fit no llama3 parameters. Else refused by name.
  std::string type;
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;
  int64_t original_context = 8192;
};

struct ModelSpec {
  std::string family;        // "qwen2", "llama", "mistral", "qwen3": registry name
  std::string gguf_arch;     // "qwen2", "llama", "qwen3"
  std::string hf_class;      // "Qwen2ForCausalLM"
  std::string name;          // for people: directory or general.name
  int64_t hidden = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0, intermediate = 0, vocab = 0, context = 0;
  double rms_eps = 1e-6, rope_theta = 10000;
  RopeScaling rope;
  // head_dim / 2 divisors of the rotary frequencies, filled for "llama3" and "factors" from whichever container: a forward
  // pass needs only these. GGUF stores them as the F32 tensor rope_freqs.weight. Empty: none.
  std::vector<float> rope_freq_factors;
  bool tied = false;         // lm_head is embed_tokens
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  bool qk_norm = false;      // Qwen3: RMS norm on each head of q and k
  bool permuted_qk = false;  // GGUF stores q/k rows permuted (arch "llama"); canonical tensors never are
  std::vector<int64_t> eos;  // all end-of-generation ids
  int64_t bos = -1, pad = -1;
  std::string dtype = "bfloat16";  // torch_dtype as stored
  int64_t parameters() const;      // total, a tied head counted once
};

// Throws Input for an unknown family (lists the known ones), a missing or non-positive size, heads that do not divide.
ModelSpec read_spec(const TensorSource& source);
std::vector<std::string> known_families();

// Canonical names.
std::string layer_prefix(int64_t layer);                         // "model.layers.3."
inline constexpr const char* kEmbedding = "model.embed_tokens.weight";
inline constexpr const char* kFinalNorm = "model.norm.weight";
inline constexpr const char* kHead = "lm_head.weight";
// The linears of one decoder block, in the order in which they run, by the input they share.
struct LinearSlot {
  const char* module;  // "self_attn.q_proj"
  int input;           // 0: attention input, 1: o_proj's input, 2: MLP input, 3: down_proj's input
};
inline constexpr LinearSlot kLinears[] = {{"self_attn.q_proj", 0}, {"self_attn.k_proj", 0}, {"self_attn.v_proj", 0}, {"self_attn.o_proj", 1},
                                          {"mlp.gate_proj", 2},    {"mlp.up_proj", 2},      {"mlp.down_proj", 3}};
// Shape (N, K) of a linear of this model.
std::pair<int64_t, int64_t> linear_shape(const ModelSpec& spec, std::string_view module);

// How the modules that `targets` name are quantized: a config group of compressed-tensors, an override of GPTQ's `dynamic`.
struct QuantScheme {
  std::vector<std::string> targets;  // a module's name, "re:<regex>" (from the name's start), or a class: "Linear"
  std::string format;                // compressed-tensors: "pack-quantized", "int-quantized"
  int bits = 16;
  int64_t group = -1;                // -1: one group a row (channel)
  bool symmetric = true, desc_act = false;
  bool tensor_scale = false;         // one scale for the whole weight
  int act_bits = 16;                 // 8: the linear's input is rounded to int8
  bool act_static = false, act_symmetric = true;
  bool operator==(const QuantScheme&) const = default;
};

// What config.json:quantization_config (or quantize_config.json) says of a checkpoint.
struct QuantConfig {
  std::string method;         // "", "gptq", "awq", "bitsandbytes", "compressed-tensors", "gguf"
  int bits = 16;              // of most weights, like all of these
  int64_t group = -1;         // -1: one group a row (channel)
  bool symmetric = true, desc_act = false;
  int act_bits = 16;
  bool act_static = false;
  double int8_threshold = 6;  // LLM.int8: activations from this size on are not rounded (llm_int8_threshold); 0: all are
  std::string format;         // "gptq", "gptq_v2", "gemm", "int8", "nf4", "fp4", "pack-quantized" ...
  std::vector<QuantScheme> schemes;  // where modules differ, or are chosen by target; in the file's order
  std::vector<std::string> ignore;   // targets that are not quantized
  Json raw;                   // as read
};
QuantConfig read_quant_config(const TensorSource& source);
// The scheme of one linear; nullopt: it is ignored or no target names it.
std::optional<QuantScheme> scheme_of(const QuantConfig& quant, const std::string& module);

}  // namespace teeny
