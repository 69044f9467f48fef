#include "teeny/plan/gguf_mix.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <numeric>

#include "teeny/core/error.h"

namespace teeny {
namespace {

constexpr GgufFileType kFileTypes[] = {
    {"F32", 0, DType::F32},       {"F16", 1, DType::F16},       {"BF16", 32, DType::BF16},    {"Q8_0", 7, DType::Q8_0},
    {"Q6_K", 18, DType::Q6_K},    {"Q5_K_M", 17, DType::Q5_K},  {"Q5_K_S", 16, DType::Q5_K},  {"Q5_1", 9, DType::Q5_1},
    {"Q5_0", 8, DType::Q5_0},     {"Q4_K_M", 15, DType::Q4_K},  {"Q4_K_S", 14, DType::Q4_K},  {"Q4_1", 3, DType::Q4_1},
    {"Q4_0", 2, DType::Q4_0},     {"IQ4_NL", 25, DType::IQ4_NL}, {"IQ4_XS", 30, DType::IQ4_XS}, {"Q3_K_L", 13, DType::Q3_K},
    {"Q3_K_M", 12, DType::Q3_K},  {"Q3_K_S", 11, DType::Q3_K},  {"Q2_K", 10, DType::Q2_K},    {"Q2_K_S", 21, DType::Q2_K, true},
};

enum class Role { Other, Embedding, Head, AttnQ, AttnK, AttnV, AttnOutput, FfnDown };

bool contains(std::string_view name, std::string_view piece) { return name.find(piece) != std::string_view::npos; }

Role role_of(std::string_view name) {
  if (name == "output.weight") return Role::Head;
  if (name == "token_embd.weight") return Role::Embedding;
  // Fused attention inputs count as attn_v.
  for (const auto piece : {"attn_qkv.weight", "attn_kv_b.weight", "attn_v.weight"})
    if (contains(name, piece)) return Role::AttnV;
  if (contains(name, "attn_k.weight")) return Role::AttnK;
  if (contains(name, "attn_q.weight")) return Role::AttnQ;
  if (contains(name, "attn_output.weight")) return Role::AttnOutput;
  if (contains(name, "ffn_down")) return Role::FfnDown;
  return Role::Other;
}

bool quantizable(const MixTensor& tensor) {
  const bool matrix = tensor.shape.size() >= 2 && std::any_of(tensor.shape.begin(), tensor.shape.end() - 1, [](int64_t d) { return d > 1; });
  if (!matrix || !tensor.name.ends_with("weight")) return false;
  for (const auto piece : {"_norm.weight", "ffn_gate_inp.weight", "ssm_conv1d", "shortconv.conv.weight", "attn_rel_b.weight"})
    if (contains(tensor.name, piece)) return false;
  return true;
}

// Block number of "blk.12.attn_q.weight"; -1 outside the blocks.
int64_t block_of(std::string_view name) {
  if (!name.starts_with("blk.")) return -1;
  int64_t block = -1;
  std::from_chars(name.data() + 4, name.data() + name.size(), block);
  return block;
}

// Layer i of n where the medium mixes spend more: the first and last eighth, and every third between.
bool more_bits(int64_t i, int64_t n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

class Mix {
 public:
  Mix(const GgufFileType& type, const MixModel& model, const std::vector<MixTensor>& tensors, bool importance)
      : type_(type.name), default_(type.dtype), model_(model), importance_(importance) {
    for (const auto& tensor : tensors) {
      attn_v_count_ += role_of(tensor.name) == Role::AttnV;
      tied_ &= role_of(tensor.name) != Role::Head;
    }
  }

  DType choose(const MixTensor& tensor) {
    switch (role_of(tensor.name)) {
      case Role::Head: return head(tensor);
      case Role::Embedding: return tied_ ? head(tensor) : default_;
      case Role::AttnV: return attn_v(attn_v_seen_++);
      case Role::AttnK: return model_.experts == 8 ? DType::Q8_0 : default_;
      case Role::AttnOutput: return attn_output();
      case Role::FfnDown: {
        const int64_t seen = ffn_down_seen_++;
        return ffn_down(model_.experts > 1 ? block_of(tensor.name) : seen);
      }
      case Role::AttnQ:
      case Role::Other: break;
    }
    return default_;
  }

 private:
  bool is(std::initializer_list<std::string_view> names) const { return std::find(names.begin(), names.end(), type_) != names.end(); }
  bool wide_gqa() const { return model_.kv_heads > 0 && model_.heads / model_.kv_heads >= 4; }
  bool is_70b() const {
    return model_.layers == 80 && (model_.arch == "qwen2" || (model_.arch == "llama" && model_.heads != model_.kv_heads));
  }

  DType head(const MixTensor& tensor) const {
    if (default_ == DType::Q8_0 || tensor.shape.back() % traits(default_).block != 0) return DType::Q8_0;
    return DType::Q6_K;
  }

  DType attn_v(int64_t i) const {
    DType dtype = default_;
    if (is({"Q2_K"})) dtype = wide_gqa() ? DType::Q4_K : DType::Q3_K;
    else if (is({"Q2_K_S"}) && wide_gqa()) dtype = DType::Q4_K;
    else if (is({"Q3_K_M"})) dtype = i < 2 ? DType::Q5_K : DType::Q4_K;
    else if (is({"Q3_K_L"})) dtype = DType::Q5_K;
    else if (is({"IQ4_NL", "IQ4_XS"}) && wide_gqa()) dtype = DType::Q5_K;
    else if (is({"Q4_K_M", "Q5_K_M"}) && more_bits(i, attn_v_count_)) dtype = DType::Q6_K;
    else if (is({"Q4_K_S"}) && i < 4) dtype = DType::Q5_K;
    if (is_70b() && (dtype == DType::Q3_K || dtype == DType::Q4_K)) dtype = DType::Q5_K;
    return model_.experts == 8 ? DType::Q8_0 : dtype;
  }

  DType attn_output() const {
    if (model_.experts == 8) return is({"Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M", "IQ4_NL", "IQ4_XS"}) ? DType::Q5_K : default_;
    return is({"Q2_K"}) ? DType::Q3_K : is({"Q3_K_M"}) ? DType::Q4_K : is({"Q3_K_L"}) ? DType::Q5_K : default_;
  }

  DType ffn_down(int64_t i) const {
    const int64_t n = model_.layers;
    const bool early = i < n / 8;
    if (is({"Q2_K"})) return DType::Q3_K;
    if (is({"Q2_K_S"}) && early) return DType::Q4_K;
    if (is({"Q3_K_M"})) return i < n / 16 ? DType::Q5_K : DType::Q4_K;
    if (is({"Q3_K_L"})) return DType::Q5_K;
    if (is({"Q4_K_M", "Q5_K_M"}) && more_bits(i, n)) return DType::Q6_K;
    if (is({"Q4_K_S"}) && early) return DType::Q5_K;
    if (is({"IQ4_NL", "IQ4_XS"}) && early && !importance_) return DType::Q5_K;
    if (is({"Q4_0"}) && early && importance_) return DType::Q4_1;
    if (is({"Q5_0"}) && early && importance_) return DType::Q5_1;
    return default_;
  }

  std::string_view type_;
  DType default_;
  const MixModel& model_;
  bool importance_, tied_ = true;
  int64_t attn_v_count_ = 0, attn_v_seen_ = 0, ffn_down_seen_ = 0;
};

}  // namespace

std::span<const GgufFileType> gguf_file_types() { return kFileTypes; }

const GgufFileType& gguf_file_type(std::string_view name) {
  std::string upper(name), names;
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return char(std::toupper(c)); });
  for (const auto& type : kFileTypes) {
    if (type.name == upper) return type;
    names += fmt::format(" {}", type.name);
  }
  throw usage_error("gguf", name, "is not a GGUF type; choose one of:{}", names);
}

DType gguf_fallback(DType dtype, int64_t K) {
  if (K % traits(dtype).block == 0) return dtype;
  if (K % 32 != 0) return DType::F16;
  switch (dtype) {
    case DType::Q2_K:
    case DType::Q3_K: return DType::Q4_0;
    case DType::Q4_K: return DType::Q5_0;
    case DType::Q5_K: return DType::Q5_1;
    case DType::Q6_K: return DType::Q8_0;
    case DType::IQ4_XS: return DType::IQ4_NL;
    default: throw Error(ErrorKind::Bug, "gguf", name_of(dtype), "has no fallback");
  }
}

std::vector<MixChoice> gguf_type_mix(const GgufFileType& type, const MixModel& model, const std::vector<MixTensor>& tensors, bool has_importance) {
  // Running counters decide, so tensors are visited block by block whatever their order in the file.
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return block_of(tensors[a].name) < block_of(tensors[b].name); });
  Mix mix(type, model, tensors, has_importance);
  std::vector<MixChoice> choices(tensors.size());
  for (const size_t i : order) {
    if (!quantizable(tensors[i])) continue;
    const DType wanted = traits(type.dtype).scalar() ? type.dtype : mix.choose(tensors[i]);
    choices[i] = {gguf_fallback(wanted, tensors[i].shape.back()), wanted};
  }
  return choices;
}

}  // namespace teeny
