// The families, one line each, and what every ModelSpec can do.
#include <array>
#include <cmath>
#include <filesystem>
#include <numbers>

#include "family/family.h"
#include "teeny/core/error.h"

namespace teeny {

// llama stands before mistral: GGUF calls both "llama", and means the first.
std::span<const Family* const> all_families() {
  static const std::array families = {&kLlama, &kMistral, &kQwen2, &kQwen3};
  return families;
}

std::vector<std::string> known_families() {
  std::vector<std::string> names;
  for (const auto* family : all_families()) names.emplace_back(family->name);
  return names;
}

ModelSpec read_spec(const TensorSource& source) { return source.gguf() ? read_gguf_spec(source) : read_hf_spec(source); }

std::string layer_prefix(int64_t layer) { return fmt::format("model.layers.{}.", layer); }

std::pair<int64_t, int64_t> linear_shape(const ModelSpec& spec, std::string_view module) {
  const int64_t q = spec.heads * spec.head_dim, kv = spec.kv_heads * spec.head_dim;
  if (module == "self_attn.q_proj") return {q, spec.hidden};
  if (module == "self_attn.k_proj" || module == "self_attn.v_proj") return {kv, spec.hidden};
  if (module == "self_attn.o_proj") return {spec.hidden, q};
  if (module == "mlp.gate_proj" || module == "mlp.up_proj") return {spec.intermediate, spec.hidden};
  if (module == "mlp.down_proj") return {spec.hidden, spec.intermediate};
  throw Error(ErrorKind::Bug, "family", module, "is no linear of a decoder block; this is a bug in teeny, please report it");
}

int64_t ModelSpec::parameters() const {
  int64_t block = 2 * hidden + (qk_norm ? 2 * head_dim : 0);
  for (const auto& slot : kLinears) {
    const auto [n, k] = linear_shape(*this, slot.module);
    block += n * k;
    const bool has_bias = slot.input == 0 ? qkv_bias : slot.input == 1 ? o_bias : mlp_bias;
    if (has_bias) block += n;
  }
  return layers * block + hidden + vocab * hidden * (tied ? 1 : 2);
}

void check_spec(const ModelSpec& spec, std::string_view where, std::string_view subject) {
  if (spec.heads % spec.kv_heads != 0)
    throw input_error(where, subject, "{} attention heads are no multiple of {} key/value heads", spec.heads, spec.kv_heads);
  if (spec.head_dim % 2 != 0) throw input_error(where, subject, "the head dimension {} is odd, rotary embedding needs pairs", spec.head_dim);
  if (!(spec.rms_eps > 0 && spec.rms_eps < 1)) throw input_error(where, subject, "the RMS norm epsilon is {}, expected a number in (0, 1)", spec.rms_eps);
  if (!(spec.rope_theta >= 1 && spec.rope_theta <= 1e15)) throw input_error(where, subject, "rope_theta is {}, expected a number in [1, 1e15]", spec.rope_theta);
  const auto& rope = spec.rope;
  if (!(rope.factor > 0 && rope.factor <= 1e6)) throw input_error(where, subject, "the rope scaling factor is {}, expected a number in (0, 1e6]", rope.factor);
  if (rope.type == "llama3" && !(rope.low_freq_factor > 0 && rope.high_freq_factor > rope.low_freq_factor && rope.high_freq_factor < 1e6))
    throw input_error(where, subject, "rope low_freq_factor {} and high_freq_factor {} must satisfy 0 < low < high", rope.low_freq_factor, rope.high_freq_factor);
  if (rope.original_context <= 0 || rope.original_context > kMaxContext)
    throw input_error(where, subject, "rope original_max_position_embeddings is {}, expected a positive number", rope.original_context);
  for (const int64_t id : spec.eos)
    if (id < 0 || id >= spec.vocab) throw input_error(where, subject, "the end token id {} is outside the vocabulary of {}", id, spec.vocab);
}

// HF _compute_llama3_parameters: long waves are slowed by `factor`, short ones kept, those between interpolated.
std::vector<float> llama3_factors(const RopeScaling& scaling, double theta, int64_t head_dim) {
  std::vector<float> factors;
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double wave = 2 * std::numbers::pi * std::pow(theta, 2.0 * double(i) / double(head_dim));
    const double turns = double(scaling.original_context) / wave;
    double factor = 1;
    if (turns < scaling.low_freq_factor) {
      factor = scaling.factor;
    } else if (turns <= scaling.high_freq_factor) {
      const double smooth = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
      factor = 1 / ((1 - smooth) / scaling.factor + smooth);
    }
    factors.push_back(float(factor));
  }
  return factors;
}

std::string companion_directory(const TensorSource& source) {
  if (source.kind() != ContainerKind::Safetensors) return {};
  if (const auto directory = source.directory(); !directory.empty()) return directory;
  const auto parent = std::filesystem::path(source.path()).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace teeny
