#include "cli/describe.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "cli/resolve.h"
#include "teeny/core/file.h"

namespace teeny::cli {
namespace {

constexpr std::string_view kParts[] = {"qweight", "qzeros", "scales", "g_idx", "weight_packed", "weight_scale", "weight_zero_point", "weight_shape",
                                       "weight_g_idx", "input_scale", "input_zero_point", "SCB", "weight_format", "weight"};

std::pair<std::string, std::string> split_name(const std::string& name) {
  const size_t dot = name.rfind('.');
  return dot == std::string::npos ? std::pair{std::string(), name} : std::pair{name.substr(0, dot), name.substr(dot + 1)};
}

// Modules whose weight is stored in parts: found by the part that holds the codes.
std::set<std::string> quantized_modules(const TensorSource& source) {
  std::set<std::string> modules;
  for (const auto& tensor : source.tensors()) {
    const auto [module, part] = split_name(tensor.name);
    if (part == "qweight" || part == "weight_packed" || part == "SCB" || (part == "weight_scale" && source.find(module + ".weight"))) modules.insert(module);
  }
  return modules;
}

// Weights that a part stands for; 0 for the parts that hold no codes.
int64_t weights_of(const TensorInfo& tensor, const std::string& part, const QuantConfig& quant) {
  const bool packed = part == "qweight" || part == "weight_packed";
  if (packed && quant.bits > 0) return int64_t(tensor.bytes * 8 / uint64_t(quant.bits));
  return part == "weight" ? tensor.elements() : 0;
}

std::string encoding_name(const QuantConfig& quant) {
  if (quant.method == "bitsandbytes") return "int8_row";
  const std::string method = quant.method.empty() ? "packed" : quant.method;
  std::string name = fmt::format("{}_int{}", method == "compressed-tensors" ? "ct" : method, quant.bits);
  name += quant.group > 0 ? fmt::format("_g{}", quant.group) : "_row";
  return name + (quant.symmetric ? "_sym" : "_asym");
}

std::string header_digest(const TensorSource& source) {
  std::string text;
  for (const auto& file : source.files())
    text += fmt::format("{} {} {}\n", std::filesystem::path(file.path()).filename().string(), file.size(), file.mtime_ns());
  for (const auto& tensor : source.tensors())
    text += fmt::format("{} {} {} {} {}\n", tensor.name, name_of(tensor.dtype), fmt::join(tensor.shape, "x"), tensor.file, tensor.offset);
  return sha256_hex(text);
}

// Of the one file; of several, of the lines "sha256  name".
std::string content_hash(const TensorSource& source) {
  if (source.files().size() == 1) return sha256_file(source.files()[0].path());
  std::string lines;
  for (const auto& file : source.files()) lines += sha256_file(file.path()) + "  " + std::filesystem::path(file.path()).filename().string() + "\n";
  return sha256_hex(lines);
}

// The block type that holds most weights: what people call the file by.
std::string main_gguf_type(const TensorSource& source) {
  const auto uses = count_encodings(source, {});
  const auto most = std::max_element(uses.begin(), uses.end(), [](const auto& a, const auto& b) { return a.second.weights < b.second.weights; });
  return most == uses.end() ? "" : most->first;
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

Json describe_model(const TensorSource& source, const QuantConfig& quant, const std::optional<ModelSpec>& spec, bool hash) {
  const bool gguf = source.kind() == ContainerKind::Gguf, quantized = !gguf && !quant.method.empty();
  int64_t weights = 0;
  for (const auto& [name, use] : count_encodings(source, quant)) weights += use.weights;
  Json model = Json::object();
  model["path"] = source.path();
  model["name"] = spec && !spec->name.empty() ? spec->name : model_stem(source.path());
  model["family"] = spec ? Json(spec->family) : Json();
  model["parameters"] = spec ? spec->parameters() : weights;
  model["fingerprint"] = header_digest(source);
  model["sha256"] = hash ? Json(content_hash(source)) : Json();
  model["method"] = quantized ? Json(quant.method) : Json();
  model["bits"] = quantized ? Json(quant.bits) : Json();
  model["group"] = quantized ? Json(quant.group) : Json();
  model["symmetric"] = quantized ? Json(quant.symmetric) : Json();
  model["format"] = gguf ? "gguf" : quantized ? (quant.format.empty() ? quant.method : quant.format) : "safetensors";
  model["type"] = gguf ? Json(main_gguf_type(source)) : Json();
  model["bytes"] = source.total_bytes();
  model["bits_per_weight"] = weights > 0 ? Json(8.0 * double(source.total_bytes()) / double(weights)) : Json();
  model["act_bits"] = Json();
  return model;
}

}  // namespace teeny::cli
