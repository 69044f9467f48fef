#include "teeny/model/loader.h"

#include "teeny/core/error.h"
#include "teeny/family/names.h"

namespace teeny {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("({})", fmt::join(shape, ", ")); }

void require_shape(const TensorSource& source, const TensorInfo& info, const std::vector<int64_t>& expected) {
  if (info.shape != expected)
    throw input_error("load", source.path(), "tensor {} has shape {}, the model's config asks for {}; file and config do not belong together", info.name,
                      shape_text(info.shape), shape_text(expected));
}

bool is_float(DType dtype) { return dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16 || dtype == DType::F64; }

Tensor index_rows(const Tensor& t, const std::vector<int64_t>& stored_row_of) {
  return t.index_select(0, at::tensor(stored_row_of, at::kLong));
}

// gguf_row_order gives, for each stored row, the canonical row; reading needs the inverse.
std::vector<int64_t> inverse(const std::vector<int64_t>& order) {
  std::vector<int64_t> out(order.size());
  for (size_t i = 0; i < order.size(); ++i) out[size_t(order[i])] = int64_t(i);
  return out;
}

std::string short_module(const std::string& module) {  // "model.layers.3.mlp.up_proj" -> "mlp.up_proj"
  const auto at = module.find("layers.");
  if (at == std::string::npos) return module;
  const auto dot = module.find('.', at + 7);
  return dot == std::string::npos ? module : module.substr(dot + 1);
}

}  // namespace

at::ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::F64: return at::kDouble;
    case DType::F32: return at::kFloat;
    case DType::F16: return at::kHalf;
    case DType::BF16: return at::kBFloat16;
    case DType::I64: return at::kLong;
    case DType::I32: return at::kInt;
    case DType::I16: return at::kShort;
    case DType::I8: return at::kChar;
    case DType::U8: return at::kByte;
    case DType::BOOL: return at::kBool;
    default: throw Error(ErrorKind::Bug, "load", name_of(dtype), "is no scalar type that libtorch has");
  }
}

DType dtype_of(at::ScalarType type) {
  for (const DType d : {DType::F64, DType::F32, DType::F16, DType::BF16, DType::I64, DType::I32, DType::I16, DType::I8, DType::U8, DType::BOOL})
    if (scalar_type(d) == type) return d;
  throw Error(ErrorKind::Bug, "load", c10::toString(type), "has no file type");
}

Tensor read_tensor(const TensorSource& source, const TensorInfo& info) {
  const auto& t = traits(info.dtype);
  Tensor out;
  if (t.scalar()) {
    out = at::empty(info.shape, scalar_type(info.dtype));
  } else {
    const int64_t rows = info.elements() / info.shape.back();
    out = at::empty({rows, info.shape.back() / t.block * t.bytes}, at::kByte);
  }
  TEENY_ASSERT(uint64_t(out.nbytes()) == info.bytes);
  source.read(info, std::span(static_cast<std::byte*>(out.mutable_data_ptr()), out.nbytes()));
  return out;
}

WeightLoader::WeightLoader(const TensorSource& source, const ModelSpec& spec) : source_(source), spec_(spec), quant_(read_quant_config(source)) {}

const TensorInfo* WeightLoader::find(const std::string& canonical) const {
  if (source_.kind() == ContainerKind::Safetensors) return source_.find(canonical);
  const auto name = to_gguf_name(canonical);
  return name ? source_.find(*name) : nullptr;
}

bool WeightLoader::has(const std::string& canonical) const { return find(canonical) != nullptr; }

const TensorInfo* WeightLoader::stored(const std::string& module) const {
  if (source_.kind() == ContainerKind::Gguf && !gguf_row_order(spec_, short_module(module)).empty()) return nullptr;
  return find(module + ".weight");
}

Tensor WeightLoader::vector(const std::string& name, int64_t size) const {
  const auto* info = find(name);
  if (!info) throw input_error("load", source_.path(), "tensor {} is missing; the file is incomplete or of another family", name);
  require_shape(source_, *info, {size});
  if (!is_float(info->dtype)) throw input_error("load", source_.path(), "tensor {} has type {}, a float type was expected", name, name_of(info->dtype));
  return read_tensor(source_, *info).to(at::kFloat);
}

std::optional<Tensor> WeightLoader::bias(const std::string& module, int64_t N) const {
  if (!has(module + ".bias")) return std::nullopt;
  Tensor bias = vector(module + ".bias", N);
  if (source_.kind() == ContainerKind::Gguf)
    if (const auto order = gguf_row_order(spec_, short_module(module)); !order.empty()) bias = index_rows(bias, inverse(order));
  return bias;
}

Weight WeightLoader::from_gguf(const std::string& module, int64_t N, int64_t K) const {
  const auto* info = find(module + ".weight");
  if (!info) throw input_error("load", source_.path(), "tensor {} is missing; the file is incomplete", to_gguf_name(module + ".weight").value_or(module));
  require_shape(source_, *info, {N, K});
  Tensor data = read_tensor(source_, *info);
  if (const auto order = gguf_row_order(spec_, short_module(module)); !order.empty()) data = index_rows(data, inverse(order));
  if (is_float(info->dtype)) return data;
  if (traits(info->dtype).scalar()) throw input_error("load", source_.path(), "tensor {} has type {}, which no weight has", info->name, name_of(info->dtype));
  EncodingSpec spec;
  spec.kind = EncodingKind::Ggml;
  spec.dtype = info->dtype;
  return QuantTensor{spec, N, K, {{"weight", data}}};
}

QuantTensor WeightLoader::packed(EncodingSpec spec, const std::string& module, int64_t N, int64_t K) const {
  QuantTensor out{spec, N, K, {}};
  for (const auto& part : encoding_parts(spec, N, K, module)) {
    const auto* info = find(module + "." + part.suffix);
    Tensor data;
    if (info) {
      require_shape(source_, *info, part.shape);
      data = read_tensor(source_, *info);
      if (part.dtype == DType::F16 && is_float(info->dtype)) {
        data = data.to(at::kHalf);
      } else if (info->dtype != part.dtype) {
        throw input_error("load", source_.path(), "tensor {} has type {}, {} was expected", info->name, name_of(info->dtype), name_of(part.dtype));
      }
    } else if (part.suffix == "g_idx") {
      data = at::arange(K, at::kLong).div(spec.group > 0 ? spec.group : K, "floor").to(at::kInt);
    } else if (part.suffix == "weight_format") {
      data = at::zeros({}, at::kByte);
    } else {
      throw input_error("load", source_.path(), "tensor {}.{} is missing; the file is incomplete", module, part.suffix);
    }
    out.parts.emplace_back(part.suffix, data);
  }
  return out;
}

// v1 stores zero - 1, v2 the zero itself. Files in the wild carry the wrong label, so for symmetric weights the stored
// number decides: 2^(bits-1) - 1 is v1, 2^(bits-1) is v2.
EncodingSpec WeightLoader::gptq_spec(const std::string& module) const {
  EncodingSpec spec;
  spec.kind = EncodingKind::Gptq;
  spec.bits = quant_.bits;
  spec.group = quant_.group;
  spec.symmetric = quant_.symmetric;
  spec.zero_offset = quant_.format == "gptq_v2" ? 0 : 1;
  const auto* zeros = find(module + ".qzeros");
  if (!quant_.symmetric || !zeros || zeros->dtype != DType::I32 || spec.bits == 3) return spec;
  const Tensor stored = read_tensor(source_, *zeros);
  const auto word_of = [&](uint32_t field) {
    uint32_t word = 0;
    for (int shift = 0; shift < 32; shift += spec.bits) word |= field << shift;
    return int32_t(word);
  };
  const uint32_t half = 1u << (spec.bits - 1);
  const int labelled = spec.zero_offset;
  if ((stored == word_of(half)).all().item<bool>()) spec.zero_offset = 0;
  if ((stored == word_of(half - 1)).all().item<bool>()) spec.zero_offset = 1;
  label_contradicted_ = label_contradicted_ || spec.zero_offset != labelled;
  return spec;
}

Weight WeightLoader::linear(const std::string& module, int64_t N, int64_t K) const {
  if (source_.kind() == ContainerKind::Gguf) return from_gguf(module, N, K);
  if (const auto* words = find(module + ".qweight"); words) {
    if (quant_.method == "gptq") return packed(gptq_spec(module), module, N, K);
    if (quant_.method == "awq") {
      EncodingSpec spec;
      spec.kind = EncodingKind::Awq;
      spec.bits = quant_.bits, spec.group = quant_.group, spec.symmetric = quant_.symmetric, spec.zero_offset = 0;
      return packed(spec, module, N, K);
    }
    throw input_error("load", source_.path(), "tensor {} is packed, but quantization_config names method \"{}\"; gptq and awq are known", words->name, quant_.method);
  }
  const auto* info = find(module + ".weight");
  if (!info) throw input_error("load", source_.path(), "tensor {}.weight is missing; the file is incomplete or of another family", module);
  if (find(module + ".SCB")) {
    EncodingSpec spec;
    spec.kind = EncodingKind::BnbInt8;
    spec.dtype = DType::I8, spec.bits = 8, spec.zero_offset = 0;
    return packed(spec, module, N, K);
  }
  require_shape(source_, *info, {N, K});
  if (!is_float(info->dtype))
    throw input_error("load", source_.path(), "tensor {} has type {} without the scales that belong to it; the format is not known", info->name, name_of(info->dtype));
  return read_tensor(source_, *info);
}

}  // namespace teeny
