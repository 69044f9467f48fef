#include "cli/describe.h"

#include <algorithm>
#include <set>

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

// Modules whose weight is stored in parts: found by the part that holds the codes.
std::set<std::string> quantized_modules(const TensorSource& source) {
  std::set<std::string> modules;
  for (const auto& tensor : source.tensors()) {
    const auto [module, part] = split_name(tensor.name);
    if (part == "qweight" || part == "weight_packed" || part == "SCB" || part == "absmax" || (part == "weight_scale" && source.find(module + ".weight"))) modules.insert(module);
  }
  return modules;
}

// Weights that a part stands for; 0 for the parts that hold no codes.
int64_t weights_of(const TensorInfo& tensor, const std::string& part, const QuantConfig& quant) {
  const bool packed = part == "qweight" || part == "weight_packed";
  if (packed && quant.bits > 0) return int64_t(tensor.bytes * 8 / uint64_t(quant.bits));
  if (part == "weight" && quant.bits == 4 && quant.method == "bitsandbytes") return int64_t(tensor.bytes * 2);
  return part == "weight" ? tensor.elements() : 0;
}

std::string encoding_name(const QuantConfig& quant) {
  if (quant.method == "bitsandbytes") return quant.bits == 4 ? quant.format : "int8_row";
  if (quant.format == "int-quantized") return fmt::format("ct_w{}a{}_{}", quant.bits, quant.act_bits, quant.group > 0 ? fmt::format("g{}", quant.group) : "channel");
  const std::string method = quant.method.empty() ? "packed" : quant.method;
  std::string name = fmt::format("{}_int{}", method == "compressed-tensors" ? "ct" : method, quant.bits);
  name += quant.group > 0 ? fmt::format("_g{}", quant.group) : "_row";
  return name + (quant.symmetric ? "_sym" : "_asym");
}

}  // namespace

std::map<std::string, EncodingUse> count_encodings(const TensorSource& source, const QuantConfig& quant) {
  std::map<std::string, EncodingUse> uses;
  const auto modules = quantized_modules(source);
  const std::string quantized = encoding_name(quant);
  for (const auto& tensor : source.tensors()) {
    const auto [module, part] = split_name(tensor.name);
    const bool is_part = modules.count(module) && std::find(std::begin(kParts), std::end(kParts), part) != std::end(kParts);
    EncodingUse& use = uses[is_part ? quantized : std::string(name_of(tensor.dtype))];
    use.bytes += tensor.bytes;
    const int64_t weights = is_part ? weights_of(tensor, part, quant) : tensor.elements();
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
