// The tensors of a checkpoint decide how a weight is stored; its config says only what they cannot show.
#include "teeny/family/stored.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "family/family.h"
#include "family/fields.h"
#include "teeny/core/error.h"
#include "teeny/family/names.h"

namespace teeny {
namespace {

bool is_float(DType dtype) { return dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16 || dtype == DType::F64; }

// Type of stored scales; anything but a float type is reported where the tensor is read.
DType scale_dtype(const TensorInfo* scales) {
  return scales && (scales->dtype == DType::BF16 || scales->dtype == DType::F32) ? scales->dtype : DType::F16;
}

// Calls use(code) for every `bits`-wide field of an I32 tensor read as one bit stream, until it returns false.
template <class Use>
void each_field(const TensorSource& source, const TensorInfo& info, int bits, const Use& use) {
  constexpr uint64_t kPiece = 12 << 16;  // whole periods of 3 words
  std::vector<uint32_t> words(kPiece / 4);
  uint64_t pending = 0;
  int filled = 0;
  for (uint64_t at = 0; at < info.bytes; at += kPiece) {
    const uint64_t n = std::min(kPiece, info.bytes - at);
    source.read(info, std::as_writable_bytes(std::span(words)).first(n), at);
    for (uint64_t i = 0; i < n / 4; ++i) {
      pending |= uint64_t(words[i]) << filled;
      for (filled += 32; filled >= bits; filled -= bits, pending >>= bits)
        if (!use(uint32_t(pending & ((1u << bits) - 1)))) return;
    }
  }
}

// The one number that every field holds, or -1.
int64_t constant_field(const TensorSource& source, const TensorInfo& info, int bits) {
  int64_t found = -1;
  bool constant = true;
  each_field(source, info, bits, [&](uint32_t code) {
    constant = found < 0 || found == int64_t(code);
    found = code;
    return constant;
  });
  return constant ? found : -1;
}

struct Finder {
  const TensorSource& source;
  const std::string& module;
  const TensorInfo* operator()(const char* part) const { return source.find(module + "." + part); }
};

// v1 stores zero - 1, v2 the zero itself. Files in the wild carry the wrong label, so for symmetric weights the stored
// number decides: 2^(bits-1) - 1 is v1, 2^(bits-1) is v2. Zero points that vary are not symmetric, whatever the label.
StoredWeight gptq(const TensorSource& source, const QuantScheme& scheme, const Finder& find) {
  StoredWeight out;
  EncodingSpec& spec = out.encoding;
  spec.kind = EncodingKind::Gptq;
  spec.bits = scheme.bits, spec.group = scheme.group, spec.symmetric = scheme.symmetric;
  spec.zero_offset = scheme.format == "gptq_v2" ? 0 : 1;
  spec.scale_dtype = scale_dtype(find("scales"));
  const auto* zeros = find("qzeros");
  if (!spec.symmetric || !zeros || zeros->dtype != DType::I32) return out;
  const int64_t half = int64_t(1) << (spec.bits - 1), stored = constant_field(source, *zeros, spec.bits);
  const int labelled = spec.zero_offset;
  spec.symmetric = stored == half || stored == half - 1;
  if (stored == half) spec.zero_offset = 0;
  if (stored == half - 1) spec.zero_offset = 1;
  out.label_contradicted = spec.zero_offset != labelled;
  return out;
}

StoredWeight awq(const TensorSource& source, const QuantScheme& scheme, const Finder& find) {
  StoredWeight out;
  EncodingSpec& spec = out.encoding;
  spec.kind = EncodingKind::Awq;
  spec.bits = scheme.bits, spec.group = scheme.group, spec.zero_offset = 0;
  spec.scale_dtype = scale_dtype(find("scales"));
  const auto* zeros = find("qzeros");  // absent in some files without zero points: 8 everywhere
  spec.symmetric = !zeros || (zeros->dtype == DType::I32 && constant_field(source, *zeros, 4) == 8);
  return out;
}

StoredWeight compressed(const QuantScheme& scheme, bool packed, const Finder& find) {
  StoredWeight out;
  EncodingSpec& spec = out.encoding;
  const auto* scales = find("weight_scale");
  spec.kind = packed ? EncodingKind::CtPacked : EncodingKind::CtInt;
  spec.bits = scheme.bits, spec.group = scheme.group, spec.zero_offset = 0;
  spec.symmetric = scheme.symmetric;  // some writers keep zero points of symmetric weights: all 0, not read
  spec.scale_dtype = scale_dtype(scales);
  spec.ordered = packed && find("weight_g_idx");
  spec.act_bits = packed ? 16 : scheme.act_bits;
  spec.act_static = spec.act_bits == 8 && scheme.act_static;
  spec.act_symmetric = !spec.act_static || !find("input_zero_point");
  return out;
}

StoredWeight plain(const TensorSource& source, const TensorInfo& info) {
  StoredWeight out;
  out.encoding.dtype = info.dtype;
  if (!traits(info.dtype).scalar()) out.encoding.kind = EncodingKind::Ggml;
  if (traits(info.dtype).scalar() && !is_float(info.dtype))
    throw input_error("load", source.path(), "tensor {} has type {} without the scales that belong to it; the format is not known", info.name, name_of(info.dtype));
  return out;
}

QuantScheme required_scheme(const TensorSource& source, const QuantConfig& quant, const std::string& module, const char* part) {
  if (auto scheme = scheme_of(quant, module)) return *scheme;
  throw input_error("load", source.path(), "tensor {}.{} is quantized, but quantization_config ignores it or names it in no target", module, part);
}

StoredWeight bnb4(const Bnb4State& state) {
  StoredWeight out;
  out.encoding.kind = state.nf4 ? EncodingKind::BnbNf4 : EncodingKind::BnbFp4;
  out.encoding.dtype = DType::U8, out.encoding.bits = 4, out.encoding.group = state.block, out.encoding.zero_offset = 0;
  return out;
}

}  // namespace

StoredWeight stored_weight(const TensorSource& source, const QuantConfig& quant, const std::string& module, int64_t N, int64_t K) {
  if (source.kind() == ContainerKind::Gguf) {
    const auto name = to_gguf_name(module + ".weight");
    const auto* info = name ? source.find(*name) : nullptr;
    if (!info) throw input_error("load", source.path(), "tensor {} is missing; the file is incomplete", name.value_or(module));
    return plain(source, *info);
  }
  const Finder find{source, module};
  if (const auto* words = find("qweight")) {
    if (quant.method != "gptq" && quant.method != "awq")
      throw input_error("load", source.path(), "tensor {} is packed, but quantization_config names method \"{}\"; gptq and awq are known", words->name, quant.method);
    const QuantScheme scheme = required_scheme(source, quant, module, "qweight");
    return quant.method == "gptq" ? gptq(source, scheme, find) : awq(source, scheme, find);
  }
  const bool packed = find("weight_packed") != nullptr;
  const auto* info = find("weight");
  if (packed || (info && info->dtype == DType::I8 && find("weight_scale"))) {
    if (quant.method != "compressed-tensors")
      throw input_error("load", source.path(), "tensor {}.weight_scale is there, but quantization_config names method \"{}\" instead of compressed-tensors", module, quant.method);
    return compressed(required_scheme(source, quant, module, packed ? "weight_packed" : "weight"), packed, find);
  }
  if (!info) throw input_error("load", source.path(), "tensor {}.weight is missing; the file is incomplete or of another family", module);
  if (find("SCB")) {
    StoredWeight out;
    out.encoding.kind = EncodingKind::BnbInt8;
    out.encoding.dtype = DType::I8, out.encoding.bits = 8, out.encoding.zero_offset = 0;
    return out;
  }
  if (const auto state = read_bnb4_state(source, module)) {
    if (state->shape != std::vector<int64_t>{N, K})
      throw input_error("load", source.path(), "tensor {}.weight was ({}) before it was quantized, the model's config asks for ({}, {})", module, fmt::join(state->shape, ", "), N, K);
    return bnb4(*state);
  }
  return plain(source, *info);
}

bool groups_in_order(const TensorSource& source, const StoredWeight& stored, const std::string& module, int64_t K) {
  const auto kind = stored.encoding.kind;
  const auto* info = kind == EncodingKind::Gptq ? source.find(module + ".g_idx") : kind == EncodingKind::CtPacked ? source.find(module + ".weight_g_idx") : nullptr;
  if (!info) return true;
  if (info->dtype != DType::I32 || info->shape != std::vector<int64_t>{K})
    throw input_error("load", source.path(), "tensor {} is {} of {} numbers, I32 of {} was expected", info->name, name_of(info->dtype), info->elements(), K);
  std::vector<int32_t> order(static_cast<size_t>(K));
  source.read(*info, std::as_writable_bytes(std::span(order)));
  const int64_t group = stored.encoding.group > 0 ? stored.encoding.group : K;
  for (int64_t k = 0; k < K; ++k)
    if (order[size_t(k)] != k / group) return false;
  return true;
}

bool has_zero_point_0(const TensorSource& source, const StoredWeight& stored, const std::string& module) {
  const auto& spec = stored.encoding;
  if (spec.symmetric) return false;
  const auto* info = source.find(module + (spec.kind == EncodingKind::CtPacked || spec.kind == EncodingKind::CtInt ? ".weight_zero_point" : ".qzeros"));
  if (!info) return false;
  if (info->dtype == DType::I8) {  // CtInt, and CtPacked by early writers
    const auto bytes = source.read(*info);
    return std::find(bytes.begin(), bytes.end(), std::byte(uint8_t(-(1 << (spec.bits - 1))))) != bytes.end();
  }
  // v1's field of all ones is read as 0.
  const uint32_t wanted = spec.kind == EncodingKind::Gptq && spec.zero_offset == 1 ? (1u << spec.bits) - 1 : 0;
  bool found = false;
  each_field(source, *info, spec.bits, [&](uint32_t code) { return !(found = code == wanted); });
  return found;
}

Bnb4State parse_bnb4_state(std::string_view text, std::string_view subject) {
  const Json json = parse_json(text, "load", subject);
  if (!json.is_object()) throw input_error("load", subject, "is no JSON object");
  const Fields fields(json, "load", std::string(subject));
  Bnb4State state;
  const auto type = fields.string("quant_type").value_or("");
  if (type != "nf4" && type != "fp4") throw input_error("load", subject, "\"quant_type\" is \"{}\", expected nf4 or fp4", printable(type));
  state.nf4 = type == "nf4";
  state.block = fields.size("blocksize", 1 << 16);
  state.nested_block = fields.size_if("nested_blocksize", 1 << 16).value_or(256);
  state.nested_offset = fields.number("nested_offset").value_or(0);
  const auto* shape = fields.find("shape");
  if (!shape || !shape->is_array() || shape->size() != 2) throw input_error("load", subject, "\"shape\" is absent or not that of a matrix");
  for (const auto& size : *shape) {
    const auto number = natural(size);
    if (!number || *number == 0 || *number > (int64_t(1) << 31)) throw input_error("load", subject, "\"shape\" holds {}", printable(size.dump(), 40));
    state.shape.push_back(*number);
  }
  return state;
}

std::optional<Bnb4State> read_bnb4_state(const TensorSource& source, const std::string& module) {
  for (const char* type : {"nf4", "fp4"}) {
    const auto* info = source.find(fmt::format("{}.weight.quant_state.bitsandbytes__{}", module, type));
    if (!info) continue;
    if (info->dtype != DType::U8 || info->bytes > 65536) throw input_error("load", source.path(), "tensor {} is {} of {} bytes, expected a JSON text as U8", info->name, name_of(info->dtype), info->bytes);
    const auto bytes = source.read(*info);
    return parse_bnb4_state({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, info->name);
  }
  return std::nullopt;
}

}  // namespace teeny
