// What a checkpoint says of its quantization: config.json:quantization_config, or a file of its own beside it.
#include <algorithm>
#include <cctype>

#include "family/family.h"
#include "family/quant_config.h"

namespace teeny {
namespace quantization {

constexpr int64_t kMaxGroup = 1 << 20;

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

}  // namespace quantization

namespace {
using namespace quantization;

// Rules by pattern: "-:re" keeps modules as they are, "+:re" or "re" overrides numbers.
void read_dynamic(QuantConfig& out, const Fields& fields) {
  const auto* rules = fields.find("dynamic");
  if (!rules || rules->is_null()) return;
  if (!rules->is_object()) throw error(fields, "\"dynamic\" is no object of rules");
  for (const auto& [key, rule] : rules->items()) {
    const bool keep = key.starts_with("-:");
    const std::string target = "re:" + (keep || key.starts_with("+:") ? key.substr(2) : key);
    if (keep) {
      out.ignore.push_back(target);
      continue;
    }
    if (!rule.is_object()) throw error(fields, "the rule \"{}\" of \"dynamic\" is no object", printable(key));
    const Fields own(rule, kWhere, fields.subject() + ":dynamic." + printable(key));
    QuantScheme scheme;
    scheme.targets = {target};
    scheme.format = out.format;
    scheme.bits = own.has_value("bits") ? read_bits(own, "bits", {2, 3, 4, 8}) : out.bits;
    scheme.group = own.has_value("group_size") ? read_group(own, "group_size") : out.group;
    scheme.symmetric = own.boolean("sym").value_or(out.symmetric);
    scheme.desc_act = own.boolean("desc_act").value_or(out.desc_act);
    out.schemes.push_back(std::move(scheme));
  }
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
  if (fields.boolean("is_marlin_format").value_or(false)) throw error(fields, "Marlin's own layout (is_marlin_format) is not supported; use the checkpoint that it was made from");
  read_dynamic(out, fields);
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
  if (fields.boolean("load_in_8bit").value_or(false)) {
    out.bits = 8;
    out.format = "int8";
    out.int8_threshold = fields.number("llm_int8_threshold").value_or(out.int8_threshold);
    if (!(out.int8_threshold >= 0 && out.int8_threshold < 1e30)) throw error(fields, "\"llm_int8_threshold\" is {}, expected 0 or more", out.int8_threshold);
    return;
  }
  if (!fields.boolean("load_in_4bit").value_or(false)) throw error(fields, "neither load_in_8bit nor load_in_4bit is set");
  out.bits = 4;
  out.group = 64;  // the weights' own state says it exactly
  out.format = lower(fields.string("bnb_4bit_quant_type").value_or("fp4"));
  if (out.format != "nf4" && out.format != "fp4") throw error(fields, "the 4-bit type \"{}\" is not supported; known: nf4, fp4", printable(out.format));
}

struct Method {
  const char* name;
  void (*read)(QuantConfig&, const Fields&);
};
constexpr Method kMethods[] = {{"gptq", read_gptq}, {"awq", read_awq}, {"bitsandbytes", read_bitsandbytes}, {"compressed-tensors", read_compressed_tensors}};

QuantConfig read(const Json& object, const std::string& subject, const char* assumed) {
  if (!object.is_object()) throw input_error(kWhere, subject, "is not a JSON object");
  const Fields fields(object, kWhere, subject);
  // AutoAWQ wrote its file under both names.
  for (const char* key : {"w_bit", "q_group_size", "zero_point"})
    if (*assumed && fields.has_value(key)) assumed = "awq";
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
