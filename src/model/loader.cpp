#include "teeny/model/loader.h"

#include "teeny/core/error.h"
#include "teeny/encodings/encoding.h"
#include "teeny/family/names.h"
#include "teeny/family/stored.h"

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

// A part as the encoding wants it: `wanted` in dtype and shape, whatever harmless form the writer chose.
Tensor WeightLoader::part(const TensorInfo& info, const EncodingPart& wanted) const {
  const bool one_number = wanted.shape == std::vector<int64_t>{1} && info.elements() == 1;  // rank 0 or 1
  if (!one_number) require_shape(source_, info, wanted.shape);
  Tensor data = read_tensor(source_, info).reshape(wanted.shape);
  const bool both_float = is_float(info.dtype) && is_float(wanted.dtype);
  const bool both_index = (info.dtype == DType::I32 || info.dtype == DType::I64) && wanted.dtype == DType::I64;
  if (both_float || both_index) return data.to(scalar_type(wanted.dtype));
  if (info.dtype != wanted.dtype)
    throw input_error("load", source_.path(), "tensor {} has type {}, {} was expected", info.name, name_of(info.dtype), name_of(wanted.dtype));
  return data;
}

// What a file may leave out, or store in an older form; undefined: it may not.
Tensor WeightLoader::substitute(const EncodingSpec& spec, const std::string& module, const EncodingPart& wanted, int64_t N, int64_t K) const {
  const auto* info = find(module + "." + wanted.suffix);
  if (wanted.suffix == "g_idx" && !info) return at::arange(K, at::kLong).div(spec.group > 0 ? spec.group : K, "floor").to(at::kInt);
  if (wanted.suffix == "weight_format" && !info) return at::zeros({}, at::kByte);
  if (wanted.suffix == "weight_shape" && !info) return at::tensor({N, K}, at::kLong);
  if (wanted.suffix == "qzeros" && !info && spec.kind == EncodingKind::Awq) return at::full(wanted.shape, int64_t(0x88888888 - (int64_t(1) << 32)), at::kInt);
  if (wanted.suffix == "weight_scale" && info && info->elements() == 1 && N > 1 && is_float(info->dtype))  // one scale for the tensor
    return read_tensor(source_, *info).reshape({1, 1}).to(scalar_type(wanted.dtype)).expand(wanted.shape).contiguous();
  if (wanted.suffix == "weight_zero_point" && info && info->dtype == DType::I8 && spec.kind == EncodingKind::CtPacked) {  // not packed by early writers
    require_shape(source_, *info, {N, wanted.shape[1]});
    const Tensor zero = (read_tensor(source_, *info).to(at::kShort) + (1 << (spec.bits - 1))).to(at::kByte);
    return pack_zero_points(zero, spec.bits);
  }
  return {};
}

QuantTensor WeightLoader::packed(const EncodingSpec& spec, const std::string& module, int64_t N, int64_t K) const {
  QuantTensor out{spec, N, K, {}};
  for (const auto& wanted : encoding_parts(spec, N, K, module)) {
    Tensor data = substitute(spec, module, wanted, N, K);
    const auto* info = find(module + "." + wanted.suffix);
    if (!data.defined() && !info) throw input_error("load", source_.path(), "tensor {}.{} is missing; the file is incomplete", module, wanted.suffix);
    if (!data.defined()) data = part(*info, wanted);
    if (wanted.suffix == "weight_shape" && !data.equal(at::tensor({N, K}, at::kLong)))
      throw input_error("load", source_.path(), "tensor {}.weight_shape says ({}, {}), the model's config asks for ({}, {})", module, data[0].item<int64_t>(),
                        data[1].item<int64_t>(), N, K);
    out.parts.emplace_back(wanted.suffix, data);
  }
  return out;
}

// bitsandbytes 4 bits: bytes in whatever storage type, absmax after double quantization.
QuantTensor WeightLoader::bnb4(const EncodingSpec& spec, const std::string& module, int64_t N, int64_t K) const {
  const auto state = read_bnb4_state(source_, module).value();
  const auto parts = encoding_parts(spec, N, K, module);
  const auto required = [&](const std::string& suffix) -> const TensorInfo& {
    if (const auto* info = find(module + "." + suffix)) return *info;
    throw input_error("load", source_.path(), "tensor {}.{} is missing; the file is incomplete", module, suffix);
  };
  const auto& words = required("weight");
  if (words.bytes != uint64_t(N * K / 2))
    throw input_error("load", source_.path(), "tensor {} has {} bytes, {} were expected for ({}, {}) at 4 bits", words.name, words.bytes, N * K / 2, N, K);
  Tensor codes = at::empty({N * K / 2, 1}, at::kByte);
  source_.read(words, std::span(static_cast<std::byte*>(codes.mutable_data_ptr()), codes.nbytes()));
  const auto& absmax = required("weight.absmax");
  Tensor scale;
  if (absmax.dtype == DType::U8) {  // itself quantized in blocks of a 256-entry table, around an offset
    const int64_t blocks = N * K / spec.group;
    require_shape(source_, absmax, {blocks});
    const Tensor table = part(required("weight.nested_quant_map"), {"", DType::F32, {256}});
    const Tensor scales = part(required("weight.nested_absmax"), {"", DType::F32, {(blocks + state.nested_block - 1) / state.nested_block}});
    scale = table.index_select(0, read_tensor(source_, absmax).to(at::kInt)).mul_(scales.repeat_interleave(state.nested_block).slice(0, 0, blocks)).add_(state.nested_offset);
  } else {
    scale = part(absmax, parts[1]);
  }
  return {spec, N, K, {{"weight", codes}, {"weight.absmax", scale}, {"weight.quant_map", part(required("weight.quant_map"), parts[2])}}};
}

Weight WeightLoader::linear(const std::string& module, int64_t N, int64_t K) const {
  if (source_.kind() == ContainerKind::Gguf) return from_gguf(module, N, K);
  const StoredWeight stored = stored_weight(source_, quant_, module, N, K);
  label_contradicted_ = label_contradicted_ || stored.label_contradicted;
  switch (stored.encoding.kind) {
    case EncodingKind::Plain: break;
    case EncodingKind::BnbNf4:
    case EncodingKind::BnbFp4: return bnb4(stored.encoding, module, N, K);
    default: return packed(stored.encoding, module, N, K);
  }
  const auto& info = *find(module + ".weight");
  require_shape(source_, info, {N, K});
  return read_tensor(source_, info);
}

}  // namespace teeny
