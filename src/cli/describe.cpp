#include "cli/describe.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/resolve.h"
#include "teeny/core/file.h"

namespace teeny::cli {
namespace {

constexpr std::string_view kParts[] = {"qweight", "qzeros", "scales", "g_idx", "weight_packed", "weight_scale", "weight_zero_point", "weight_shape",
                                       "weight_g_idx", "input_scale", "input_zero_point", "SCB", "absmax", "quant_map", "nested_absmax", "nested_quant_map", "bitsandbytes__nf4", "bitsandbytes__fp4", "weight_format", "weight"};

// Module and part. bitsandbytes' 4-bit parts hang on the weight: "<module>.weight.absmax", "<module>.weight.quant_state.<type>".
std::pair<std::string, std::string> split_name(const std::string& name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos) return {std::string(), name};
  const size_t weight = name.rfind(".weight.");
  return {name.substr(0, weight == std::string::npos ? dot : weight), name.substr(dot + 1)};
}

// Modules whose weight is stored in parts, found by the part that holds the codes, and how each is quantized.
std::map<std::string, QuantScheme> quantized_modules(const TensorSource& source, const QuantConfig& quant) {
  std::map<std::string, QuantScheme> modules;
  QuantScheme common;
  common.format = quant.format, common.bits = quant.bits, common.group = quant.group, common.symmetric = quant.symmetric, common.act_bits = quant.act_bits;
  for (const auto& tensor : source.tensors()) {
    const auto [module, part] = split_name(tensor.name);
    if (part != "qweight" && part != "weight_packed" && part != "SCB" && part != "absmax" && !(part == "weight_scale" && source.find(module + ".weight"))) continue;
    modules[module] = quant.schemes.empty() ? common : scheme_of(quant, module).value_or(common);
  }
  return modules;
}

// Weights that a part stands for; 0 for the parts that hold no codes.
int64_t weights_of(const TensorInfo& tensor, const std::string& part, const QuantConfig& quant, const QuantScheme& scheme) {
  const bool packed = part == "qweight" || part == "weight_packed";
  if (packed && scheme.bits > 0) return int64_t(tensor.bytes * 8 / uint64_t(scheme.bits));
  if (part == "weight" && quant.bits == 4 && quant.method == "bitsandbytes") return int64_t(tensor.bytes * 2);
  return part == "weight" ? tensor.elements() : 0;
}

std::string encoding_name(const QuantConfig& quant, const QuantScheme& scheme) {
  if (quant.method == "bitsandbytes") return quant.bits == 4 ? quant.format : "int8_row";
  const std::string group = scheme.group > 0 ? fmt::format("g{}", scheme.group) : "channel";
  if (scheme.format == "int-quantized") return fmt::format("ct_w{}a{}_{}", scheme.bits, scheme.act_bits, group);
  const std::string method = quant.method.empty() ? "packed" : quant.method == "compressed-tensors" ? "ct" : quant.method;
  return fmt::format("{}_int{}_{}_{}", method, scheme.bits, group, scheme.symmetric ? "sym" : "asym");
}

}  // namespace

std::map<std::string, EncodingUse> count_encodings(const TensorSource& source, const QuantConfig& quant) {
  std::map<std::string, EncodingUse> uses;
  const auto modules = quantized_modules(source, quant);
  for (const auto& tensor : source.tensors()) {
    const auto [module, part] = split_name(tensor.name);
    const auto found = modules.find(module);
    const bool is_part = found != modules.end() && std::find(std::begin(kParts), std::end(kParts), part) != std::end(kParts);
    EncodingUse& use = uses[is_part ? encoding_name(quant, found->second) : std::string(name_of(tensor.dtype))];
    use.bytes += tensor.bytes;
    const int64_t weights = is_part ? weights_of(tensor, part, quant, found->second) : tensor.elements();
    use.weights += weights;
    use.tensors += !is_part || weights > 0;
  }
  return uses;
}

Json describe_file(const TensorSource& source, bool hash) {
  int64_t weights = 0;
  for (const auto& tensor : source.tensors()) weights += tensor.elements();
  const uint64_t bytes = source.total_bytes();
  return {{"path", source.path()}, {"name", model_stem(source.path())}, {"family", Json()}, {"parameters", weights}, {"fingerprint", fingerprint(source)},
          {"sha256", hash && source.files().size() == 1 ? Json(sha256_file(source.files()[0].path())) : Json()}, {"method", Json()}, {"bits", Json()}, {"group", Json()},
          {"symmetric", Json()}, {"format", "safetensors"}, {"type", Json()}, {"bytes", bytes}, {"bits_per_weight", weights > 0 ? Json(8.0 * double(bytes) / double(weights)) : Json()},
          {"act_bits", Json()}};
}

}  // namespace teeny::cli
