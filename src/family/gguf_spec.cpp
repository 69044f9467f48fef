// GGUF keys and tensors -> ModelSpec (formats.md section 6.1; llama.cpp src/models/{qwen2,llama,qwen3}.cpp).
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "family/family.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
constexpr const char* kWhere = "gguf";

class Keys {
 public:
  Keys(const GgufMetadata& metadata, std::string arch, const std::string& subject) : metadata_(metadata), arch_(std::move(arch)), subject_(subject) {}
  std::string name(const char* key) const { return arch_ + "." + key; }
  std::optional<int64_t> size_if(const char* key, int64_t max) const {
    const auto value = metadata_.integer(name(key));
    if (value && (*value < 1 || *value > max)) throw input_error(kWhere, subject_, "{} is {}, expected 1 to {}", name(key), *value, max);
    return value;
  }
  int64_t size(const char* key, int64_t max) const {
    if (const auto value = size_if(key, max)) return *value;
    throw input_error(kWhere, subject_, "the key {} is absent; the file holds no complete model", name(key));
  }
  std::optional<double> number(const char* key) const {
    const auto value = metadata_.number(name(key));
    if (value && !std::isfinite(*value)) throw input_error(kWhere, subject_, "{} is {}, expected a finite number", name(key), *value);
    return value;
  }
  std::optional<std::string> string(const char* key) const { return metadata_.string(name(key)); }

 private:
  const GgufMetadata& metadata_;
  std::string arch_;
  const std::string& subject_;
};

const Family& find_family(const GgufMetadata& metadata, const std::string& subject) {
  const auto type = metadata.string("general.type");
  if (type && *type != "model") throw input_error(kWhere, subject, "holds a \"{}\" (general.type), expected a model", printable(*type));
  const auto arch = metadata.string("general.architecture");
  if (!arch) throw input_error(kWhere, subject, "the key general.architecture is absent; the file holds no model");
  std::string known;
  for (const auto* family : all_families()) {
    if (*arch == family->gguf_arch) return *family;
    if (known.find(family->gguf_arch) == known.npos) known += (known.empty() ? "" : ", ") + std::string(family->gguf_arch);
  }
  throw input_error(kWhere, subject, "the architecture \"{}\" is not supported; known: {}", printable(*arch), known);
}

void read_rope(ModelSpec& spec, const Keys& keys, const TensorSource& source) {
  spec.rope_theta = keys.number("rope.freq_base").value_or(10000);
  const auto type = keys.string("rope.scaling.type").value_or("none");
  if (type == "linear") {
    spec.rope.type = type;
    spec.rope.factor = keys.number("rope.scaling.factor").value_or(1);
  } else if (type != "none") {
    throw input_error(kWhere, source.path(), "{} is \"{}\", which is not supported; known: none, linear", keys.name("rope.scaling.type"), printable(type));
  }
  if (const auto dims = keys.size_if("rope.dimension_count", kMaxHeadDim); dims && *dims != spec.head_dim)
    throw input_error(kWhere, source.path(), "{} is {}, but heads have {} dimensions; partial rotary embedding is not supported",
                      keys.name("rope.dimension_count"), *dims, spec.head_dim);
  const auto* freqs = source.find("rope_freqs.weight");
  if (!freqs) return;
  if (freqs->dtype != DType::F32 || freqs->shape != std::vector<int64_t>{spec.head_dim / 2})
    throw input_error(kWhere, source.path(), "rope_freqs.weight must be F32 of shape [{}]", spec.head_dim / 2);
  spec.rope_freq_factors.resize(size_t(spec.head_dim / 2));
  source.read(*freqs, std::as_writable_bytes(std::span(spec.rope_freq_factors)));
  for (const float factor : spec.rope_freq_factors)
    if (!(factor > 0 && factor <= 1e6f)) throw input_error(kWhere, source.path(), "rope_freqs.weight holds {}, expected numbers in (0, 1e6]", factor);
}

// The tensor does not name the parameters it was made from. Llama 3.x always used low 1, high 4 and 8192; when those give
// the same numbers, the model can go back to config.json.
void name_scaling(ModelSpec& spec) {
  if (spec.rope_freq_factors.empty()) return;
  RopeScaling guess{"llama3", *std::max_element(spec.rope_freq_factors.begin(), spec.rope_freq_factors.end()), 1, 4, 8192};
  const auto expected = llama3_factors(guess, spec.rope_theta, spec.head_dim);
  const bool same = std::equal(expected.begin(), expected.end(), spec.rope_freq_factors.begin(), spec.rope_freq_factors.end(),
                               [](float a, float b) { return std::abs(a - b) <= 1e-3f * a; });
  if (same) spec.rope = guess;
  else spec.rope.type = "factors";
}

// Besides the keys, llama.cpp stops at control tokens with these texts (llama-vocab.cpp).
void read_tokens(ModelSpec& spec, const GgufMetadata& metadata, const std::string& subject) {
  const auto add = [&](int64_t id) {
    if (std::find(spec.eos.begin(), spec.eos.end(), id) == spec.eos.end()) spec.eos.push_back(id);
  };
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
    if (const auto id = metadata.integer(key)) add(*id);
  const auto in_vocab = [&](const char* key) {
    const auto id = metadata.integer(key);
    return id && *id >= 0 && *id < spec.vocab ? *id : -1;
  };
  spec.bos = in_vocab("tokenizer.ggml.bos_token_id");
  spec.pad = in_vocab("tokenizer.ggml.padding_token_id");
  const auto* tokens = metadata.strings("tokenizer.ggml.tokens");
  const auto types = metadata.integers("tokenizer.ggml.token_type");
  if (!tokens) return;
  if (int64_t(tokens->size()) != spec.vocab)
    throw input_error(kWhere, subject, "tokenizer.ggml.tokens has {} entries, token_embd.weight has {} rows", tokens->size(), spec.vocab);
  if (types && types->size() != tokens->size())
    throw input_error(kWhere, subject, "tokenizer.ggml.token_type has {} entries, tokenizer.ggml.tokens {}", types->size(), tokens->size());
  constexpr int64_t kControl = 3;
  for (size_t id = 0; id < tokens->size(); ++id)
    for (const char* text : {"<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"})
      if ((*tokens)[id] == text && (!types || (*types)[id] == kControl)) add(int64_t(id));
}

std::string float_dtype(DType dtype) { return dtype == DType::F32 ? "float32" : dtype == DType::BF16 ? "bfloat16" : "float16"; }
}  // namespace

ModelSpec read_gguf_spec(const TensorSource& source) {
  const GgufMetadata& metadata = *source.gguf();
  const auto& subject = source.path();
  const Family& family = find_family(metadata, subject);
  const Keys keys(metadata, family.gguf_arch, subject);
  ModelSpec spec;
  spec.family = family.name;
  spec.gguf_arch = family.gguf_arch;
  spec.hf_class = family.hf_class;
  spec.permuted_qk = family.permuted_qk;
  spec.name = metadata.string("general.name").value_or(std::filesystem::path(subject).stem().string());
  if (metadata.integer(keys.name("expert_count")).value_or(0) != 0)
    throw input_error(kWhere, subject, "{} is not zero; mixtures of experts are not supported", keys.name("expert_count"));
  spec.hidden = keys.size("embedding_length", kMaxHidden);
  spec.layers = keys.size("block_count", kMaxLayers);
  spec.heads = keys.size("attention.head_count", kMaxHeads);
  spec.kv_heads = keys.size_if("attention.head_count_kv", kMaxHeads).value_or(spec.heads);
  spec.intermediate = keys.size("feed_forward_length", kMaxIntermediate);
  spec.context = keys.size("context_length", kMaxContext);
  if (const auto length = keys.size_if("attention.key_length", kMaxHeadDim)) spec.head_dim = *length;
  else if (spec.hidden % spec.heads == 0) spec.head_dim = spec.hidden / spec.heads;
  else throw input_error(kWhere, subject, "embedding_length {} is no multiple of {} heads, and attention.key_length is absent", spec.hidden, spec.heads);
  if (keys.size_if("attention.value_length", kMaxHeadDim).value_or(spec.head_dim) != spec.head_dim)
    throw input_error(kWhere, subject, "attention.value_length differs from the head dimension {}, which is not supported", spec.head_dim);
  if (const auto window = keys.size_if("attention.sliding_window", INT64_MAX)) spec.context = std::min(spec.context, *window);

  const auto& embedding = source.at("token_embd.weight");
  if (embedding.shape.size() != 2 || embedding.shape[1] != spec.hidden || embedding.shape[0] > kMaxVocab)
    throw input_error(kWhere, subject, "token_embd.weight must have rows of {} numbers (embedding_length), at most {} rows", spec.hidden, kMaxVocab);
  spec.vocab = embedding.shape[0];
  const auto rms = keys.number("attention.layer_norm_rms_epsilon");
  if (!rms) throw input_error(kWhere, subject, "the key {} is absent; the file holds no complete model", keys.name("attention.layer_norm_rms_epsilon"));
  spec.rms_eps = *rms;
  spec.tied = !source.find("output.weight");
  spec.qkv_bias = source.find("blk.0.attn_q.bias") != nullptr;
  spec.o_bias = source.find("blk.0.attn_output.bias") != nullptr;
  spec.mlp_bias = source.find("blk.0.ffn_up.bias") != nullptr;
  spec.qk_norm = family.qk_norm;
  spec.dtype = float_dtype(embedding.dtype);
  read_rope(spec, keys, source);
  read_tokens(spec, metadata, subject);
  check_spec(spec, kWhere, subject);
  name_scaling(spec);
  return spec;
}

}  // namespace teeny
