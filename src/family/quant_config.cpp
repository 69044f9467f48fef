// What a checkpoint says of its quantization: config.json:quantization_config, or a file of its own beside it.
#include <algorithm>
#include <cctype>

#include "family/family.h"
#include "family/fields.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
constexpr const char* kWhere = "quantization";
constexpr int64_t kMaxGroup = 1 << 20;

template <class... A>
Error error(const Fields& fields, fmt::format_string<A...> format, A&&... args) {
  return input_error(kWhere, fields.subject(), "{}", fmt::format(format, std::forward<A>(args)...));
}

std::string lower(std::string text) {
  for (char& c : text) c = char(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

int64_t read_group(const Fields& fields, const char* key) {
  const auto group = fields.integer(key);
  if (!group) return -1;
  if (*group != -1 && (*group < 1 || *group > kMaxGroup)) throw error(fields, "\"{}\" is {}, expected -1 or 1 to {}", key, *group, kMaxGroup);
  return *group;
}

int read_bits(const Fields& fields, const char* key, std::initializer_list<int> known) {
  const auto bits = fields.integer(key);
  if (!bits) throw error(fields, "\"{}\" is absent", key);
  if (std::find(known.begin(), known.end(), *bits) == known.end()) throw error(fields, "\"{}\" is {}, expected one of {}", key, *bits, fmt::join(known, ", "));
  return int(*bits);
}

void read_gptq(QuantConfig& out, const Fields& fields) {
  out.bits = read_bits(fields, "bits", {2, 3, 4, 8});
  out.group = read_group(fields, "group_size");
  out.symmetric = fields.boolean("sym").value_or(true);  // older files lack it; GPTQModel assumes true
  out.desc_act = fields.boolean("desc_act").value_or(false);
  auto format = fields.string("checkpoint_format");
  if (!format) format = fields.string("format");
  out.format = lower(format.value_or("gptq"));
  if (out.format != "gptq" && out.format != "gptq_v2")
    throw error(fields, "the checkpoint format \"{}\" is not supported; known: gptq, gptq_v2", printable(out.format));
}

void read_awq(QuantConfig& out, const Fields& fields) {
  out.bits = read_bits(fields, fields.has_value("bits") ? "bits" : "w_bit", {4});
  out.group = read_group(fields, fields.has_value("group_size") ? "group_size" : "q_group_size");
  out.symmetric = !fields.boolean("zero_point").value_or(true);
  auto format = fields.string("version");
  if (!format) format = fields.string("format");
  out.format = lower(format.value_or("gemm"));
  if (out.format != "gemm") throw error(fields, "the AWQ version \"{}\" is not supported; known: gemm", printable(out.format));
}

void read_bitsandbytes(QuantConfig& out, const Fields& fields) {
  if (!fields.boolean("load_in_8bit").value_or(false))
    throw error(fields, "only 8-bit bitsandbytes checkpoints (load_in_8bit) are supported");
  out.bits = 8;
  out.format = "int8";
}

void read_compressed_tensors(QuantConfig& out, const Fields& fields) {
  out.format = fields.string("format").value_or("");
  if (out.format != "pack-quantized" && out.format != "int-quantized")
    throw error(fields, "the format \"{}\" is not supported; known: pack-quantized, int-quantized", printable(out.format));
  const auto* groups = fields.find("config_groups");
  if (!groups || !groups->is_object() || groups->empty()) throw error(fields, "\"config_groups\" is absent or empty");
  bool first = true;
  for (const auto& [name, group] : groups->items()) {
    const auto subject = fields.subject() + ":config_groups." + printable(name) + ".weights";
    if (!group.is_object() || !group.contains("weights") || !group["weights"].is_object()) throw input_error(kWhere, subject, "is absent");
    const Fields weights(group["weights"], kWhere, subject);
    const int bits = read_bits(weights, "num_bits", {4, 8});
    const int64_t size = read_group(weights, "group_size");
    const bool symmetric = weights.boolean("symmetric").value_or(true);
    const auto type = weights.string("type").value_or("int"), strategy = weights.string("strategy").value_or(size > 0 ? "group" : "channel");
    if (type != "int") throw error(weights, "the type \"{}\" is not supported; known: int", printable(type));
    if (strategy != "group" && strategy != "channel") throw error(weights, "the strategy \"{}\" is not supported; known: group, channel", printable(strategy));
    if ((strategy == "group") != (size > 0)) throw error(weights, "the strategy \"{}\" and group_size {} disagree", strategy, size);
    const bool ordered = weights.has_value("actorder") && *weights.find("actorder") == "group";
    if (!first && (bits != out.bits || size != out.group || symmetric != out.symmetric || ordered != out.desc_act))
      throw error(weights, "differs from the group before it; mixed schemes in one checkpoint are not supported");
    out.bits = bits;
    out.group = size;
    out.symmetric = symmetric;
    out.desc_act = ordered;
    first = false;
  }
}

struct Method {
  const char* name;
  void (*read)(QuantConfig&, const Fields&);
};
constexpr Method kMethods[] = {{"gptq", read_gptq}, {"awq", read_awq}, {"bitsandbytes", read_bitsandbytes}, {"compressed-tensors", read_compressed_tensors}};

QuantConfig read(const Json& object, const std::string& subject, const char* assumed) {
  if (!object.is_object()) throw input_error(kWhere, subject, "is not a JSON object");
  const Fields fields(object, kWhere, subject);
  QuantConfig out;
  out.raw = object;
  out.method = lower(fields.string("quant_method").value_or(assumed));
  std::string known;
  for (const auto& method : kMethods) {
    known += (known.empty() ? "" : ", ") + std::string(method.name);
    if (out.method != method.name) continue;
    method.read(out, fields);
    return out;
  }
  throw input_error(kWhere, subject, "quant_method \"{}\" is not supported; known: {}", printable(out.method), known);
}
}  // namespace

QuantConfig read_quant_config(const TensorSource& source) {
  QuantConfig none;
  if (source.kind() == ContainerKind::Gguf) {
    none.method = "gguf";
    return none;
  }
  const auto directory = companion_directory(source);
  if (source.config().is_object()) {
    const auto at = source.config().find("quantization_config");
    if (at != source.config().end() && !at->is_null()) return read(*at, path_join(directory, "config.json") + ":quantization_config", "");
  }
  // Written before quant_method existed: the file's name says which tool wrote it.
  for (const auto& [name, assumed] : {std::pair{"quantize_config.json", "gptq"}, {"quant_config.json", "awq"}}) {
    const auto path = path_join(directory, name);
    if (path_exists(path)) return read(read_json_file(path, kWhere, 16 << 20), path, assumed);
  }
  return none;
}

}  // namespace teeny
