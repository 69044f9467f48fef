// Tensor names in both directions, the order of permuted rows, and the metadata of a model for either container.
#include "teeny/family/names.h"

#include <algorithm>

#include "family/family.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
struct Pair {
  std::string_view canonical, gguf;
};
constexpr Pair kOutside[] = {{kEmbedding, "token_embd.weight"}, {kFinalNorm, "output_norm.weight"}, {kHead, "output.weight"}, {"lm_head.bias", "output.bias"}};
constexpr Pair kInside[] = {
    {"input_layernorm", "attn_norm"},   {"self_attn.q_proj", "attn_q"},      {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},     {"self_attn.o_proj", "attn_output"}, {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"}, {"post_attention_layernorm", "ffn_norm"}, {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},          {"mlp.down_proj", "ffn_down"},
};

// "<from><layer>.<module>.<weight or bias>" -> the same with the other side's prefix and module.
std::optional<std::string> translate(std::string_view name, std::string_view from, std::string_view to, std::string_view Pair::*source,
                                     std::string_view Pair::*target) {
  for (const auto& pair : kOutside)
    if (pair.*source == name) return std::string(pair.*target);
  if (!name.starts_with(from)) return std::nullopt;
  const auto rest = name.substr(from.size());
  const auto dot = rest.find('.'), last = rest.rfind('.');
  if (dot == 0 || dot == rest.npos || last <= dot) return std::nullopt;
  const auto layer = rest.substr(0, dot), module = rest.substr(dot + 1, last - dot - 1), suffix = rest.substr(last);
  const bool number = layer.size() <= 4 && std::all_of(layer.begin(), layer.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!number || (layer.size() > 1 && layer[0] == '0') || (suffix != ".weight" && suffix != ".bias")) return std::nullopt;
  for (const auto& pair : kInside)
    if (pair.*source == module) return fmt::format("{}{}.{}{}", to, layer, pair.*target, suffix);
  return std::nullopt;
}
constexpr std::string_view kHfBlock = "model.layers.", kGgufBlock = "blk.";
}  // namespace

std::optional<std::string> to_gguf_name(const std::string& canonical) {
  return translate(canonical, kHfBlock, kGgufBlock, &Pair::canonical, &Pair::gguf);
}

std::optional<std::string> from_gguf_name(const std::string& gguf) {
  return translate(gguf, kGgufBlock, kHfBlock, &Pair::gguf, &Pair::canonical);
}

// A head's rows [2, head_dim / 2] (two rotary halves) are stored as [head_dim / 2, 2] (adjacent pairs).
std::vector<int64_t> gguf_row_order(const ModelSpec& spec, std::string_view module) {
  const bool q = module == "self_attn.q_proj", k = module == "self_attn.k_proj";
  if (!spec.permuted_qk || (!q && !k)) return {};
  std::vector<int64_t> order;
  const int64_t half = spec.head_dim / 2;
  for (int64_t head = 0; head < (q ? spec.heads : spec.kv_heads); ++head)
    for (int64_t i = 0; i < half; ++i)
      for (int64_t part = 0; part < 2; ++part) order.push_back(head * spec.head_dim + part * half + i);
  return order;
}

void write_gguf_model_keys(const ModelSpec& spec, GgufMetadata& metadata) {
  const auto key = [&](const char* name) { return spec.gguf_arch + "." + name; };
  const auto u32 = [&](const char* name, int64_t value) { metadata.set_u32(key(name), uint32_t(value)); };
  metadata.set_string("general.architecture", spec.gguf_arch);
  metadata.set_string("general.type", "model");
  metadata.set_string("general.name", spec.name);
  u32("block_count", spec.layers);
  u32("context_length", spec.context);
  u32("embedding_length", spec.hidden);
  u32("feed_forward_length", spec.intermediate);
  u32("attention.head_count", spec.heads);
  u32("attention.head_count_kv", spec.kv_heads);
  metadata.set_f32(key("rope.freq_base"), float(spec.rope_theta));
  metadata.set_f32(key("attention.layer_norm_rms_epsilon"), float(spec.rms_eps));
  if (spec.qk_norm || spec.head_dim * spec.heads != spec.hidden) {
    u32("attention.key_length", spec.head_dim);
    u32("attention.value_length", spec.head_dim);
  }
  if (spec.gguf_arch == "llama") {
    u32("vocab_size", spec.vocab);
    u32("rope.dimension_count", spec.head_dim);
  }
  // llama3 scaling has no key: it is the tensor rope_freqs.weight.
  if (spec.rope.type == "linear") {
    metadata.set_string(key("rope.scaling.type"), "linear");
    metadata.set_f32(key("rope.scaling.factor"), float(spec.rope.factor));
  }
  metadata.set_u32("general.quantization_version", 2);
}

Json hf_config_from_spec(const ModelSpec& spec) {
  const auto& families = all_families();
  const auto at = std::find_if(families.begin(), families.end(), [&](const Family* f) { return f->name == spec.family; });
  TEENY_ASSERT(at != families.end());
  const Family& family = **at;
  Json config;
  config["architectures"] = Json::array({spec.hf_class});
  config["model_type"] = spec.family;
  config["hidden_act"] = "silu";
  config["hidden_size"] = spec.hidden;
  config["intermediate_size"] = spec.intermediate;
  config["num_hidden_layers"] = spec.layers;
  config["num_attention_heads"] = spec.heads;
  config["num_key_value_heads"] = spec.kv_heads;
  config["head_dim"] = spec.head_dim;
  config["max_position_embeddings"] = spec.context;
  config["rms_norm_eps"] = spec.rms_eps;
  config["rope_theta"] = spec.rope_theta;
  if (spec.rope.type == "linear") config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", spec.rope.factor}};
  if (spec.rope.type == "llama3")
    config["rope_scaling"] = {{"rope_type", "llama3"}, {"factor", spec.rope.factor}, {"low_freq_factor", spec.rope.low_freq_factor},
                              {"high_freq_factor", spec.rope.high_freq_factor}, {"original_max_position_embeddings", spec.rope.original_context}};
  if (spec.rope.type == "factors")
    throw input_error("config", spec.name, "its rope_freqs.weight fits no scaling that config.json can name; keep the model in GGUF");
  if (family.bias == Bias::AttentionKey) {
    if (spec.qkv_bias != spec.o_bias) throw input_error("config", spec.name, "{} models have biases on all of q, k, v, o or on none", spec.family);
    config["attention_bias"] = spec.qkv_bias;
  }
  if (family.mlp_bias_key) config["mlp_bias"] = spec.mlp_bias;
  if (family.window == Window::Flag) config["use_sliding_window"] = false;
  if (family.window == Window::CapsContext) config["sliding_window"] = nullptr;
  config["tie_word_embeddings"] = spec.tied;
  config["vocab_size"] = spec.vocab;
  if (spec.bos >= 0) config["bos_token_id"] = spec.bos;
  if (spec.eos.size() == 1) config["eos_token_id"] = spec.eos[0];
  if (spec.eos.size() > 1) config["eos_token_id"] = spec.eos;
  if (spec.pad >= 0) config["pad_token_id"] = spec.pad;
  config["torch_dtype"] = spec.dtype;
  return config;
}

}  // namespace teeny
