// The defaults of `teeny quantize` by method, as docs/cli.md states them, and the name of the output that follows.
#include <algorithm>

#include "cli/resolve.h"
#include "teeny/core/error.h"

namespace teeny::cli {
namespace {

struct MethodDefaults {
  const char* method;
  int bits;                   // when --bits is left out
  std::vector<int> supported; // --bits that the method has
  bool symmetric;
};

const MethodDefaults& defaults_of(const std::string& method) {
  static const std::vector<MethodDefaults> table{
      {"gptq", 4, {2, 3, 4, 8}, true}, {"awq", 4, {3, 4, 8}, false},         {"gguf", 4, {2, 3, 4, 5, 6, 8, 16}, false}, {"int8", 8, {8}, true},
      {"rtn", 4, {2, 3, 4, 8}, true},  {"fp16", 16, {16}, true},             {"bf16", 16, {16}, true},
  };
  for (const auto& line : table)
    if (method == line.method) return line;
  throw usage_error("usage", "--method", "'{}' is not a method", method);
}

struct GgufType {
  const char* name;
  int bits;
  bool default_of_bits;
};

constexpr GgufType kGgufTypes[] = {{"F32", 32, false},   {"F16", 16, true},     {"BF16", 16, false},  {"Q8_0", 8, true},    {"Q6_K", 6, true},
                                   {"Q5_K_M", 5, true},  {"Q5_K_S", 5, false},  {"Q5_0", 5, false},   {"Q5_1", 5, false},   {"Q4_K_M", 4, true},
                                   {"Q4_K_S", 4, false}, {"Q4_0", 4, false},    {"Q4_1", 4, false},   {"IQ4_NL", 4, false}, {"IQ4_XS", 4, false},
                                   {"Q3_K_L", 3, false}, {"Q3_K_M", 3, true},   {"Q3_K_S", 3, false}, {"Q2_K", 2, true}};

int nearest_bits(const std::vector<int>& supported, int bits) {
  return *std::min_element(supported.begin(), supported.end(), [bits](int a, int b) {
    return std::pair(std::abs(a - bits), -a) < std::pair(std::abs(b - bits), -b);  // of two as near, the larger
  });
}

void resolve_gguf_type(QuantizeOptions& options) {
  if (options.type.empty()) {
    for (const auto& type : kGgufTypes)
      if (type.bits == options.bits && type.default_of_bits) options.type = type.name;
    return;
  }
  for (const auto& type : kGgufTypes) {
    if (options.type != type.name) continue;
    if (options.bits != 0 && options.bits != type.bits && !(options.bits == 16 && type.bits == 32))
      throw usage_error("usage", "--bits", "{} contradicts --type {}, which has {}; leave one of them out", options.bits, options.type, type.bits);
    options.bits = type.bits == 32 ? 16 : type.bits;
  }
}

std::string default_format(const QuantizeOptions& options) {
  const std::string& method = options.method;
  if (options.act_bits == 8) return "compressed-tensors";
  if (method == "awq") return options.bits == 4 ? "awq" : options.bits == 8 ? "compressed-tensors" : "gptq";
  if (method == "int8") return "bitsandbytes";
  if (method == "gguf") return "gguf";
  if (method == "fp16" || method == "bf16") return "safetensors";
  return "gptq";
}

}  // namespace

void resolve_quantize(QuantizeOptions& options) {
  const MethodDefaults& defaults = defaults_of(options.method);
  const bool gguf = options.method == "gguf" || options.format == "gguf";
  if (!gguf && !options.type.empty())
    throw usage_error("usage", "--type", "{} is a GGUF type, but --method {} writes {}; leave it out, or use --method gguf", options.type, options.method,
                      options.format.empty() ? "no GGUF" : options.format);
  if (options.method == "gguf" && !options.format.empty() && options.format != "gguf")
    throw usage_error("usage", "--format", "{} cannot hold what --method gguf makes; leave it out", options.format);
  if (gguf && (options.bits != 0 || !options.type.empty())) {
    const int asked = options.bits;
    resolve_gguf_type(options);
    if (options.type.empty())
      throw input_error("quantize", fmt::format("--method {} --bits {}", options.method, asked), "no GGUF type has {} bits; the nearest that exists is {} (Q{}_{})",
                        asked, asked == 7 ? 8 : 6, asked == 7 ? 8 : 6, asked == 7 ? "0" : "K");
  }
  if (options.bits == 0) options.bits = defaults.bits;
  if (gguf && options.type.empty()) resolve_gguf_type(options);
  const bool has_bits = std::count(defaults.supported.begin(), defaults.supported.end(), options.bits) > 0;
  if (!has_bits && !(gguf && options.method == "rtn"))
    throw input_error("quantize", fmt::format("--method {} --bits {}", options.method, options.bits), "no container stores that; {} has {} bits, the nearest is {}",
                      options.method, fmt::join(defaults.supported, ", "), nearest_bits(defaults.supported, options.bits));
  if (options.format.empty()) options.format = default_format(options);
}

std::string default_output(const QuantizeOptions& options) {
  std::string name = fmt::format("./{}-{}-{}bit", model_stem(options.model), options.method, options.bits);
  const QuantizeOptions plain;
  if (options.format == "gguf") {
    QuantizeOptions usual;
    usual.bits = options.bits;
    resolve_gguf_type(usual);
    return name + (options.type == usual.type ? "" : "-" + options.type) + ".gguf";
  }
  const bool grouped = options.method == "gptq" || options.method == "awq" || options.method == "rtn";
  if (grouped && options.granularity != plain.granularity) name += "-" + options.granularity;
  if (grouped && options.granularity == "group" && options.group != plain.group) name += fmt::format("-g{}", options.group);
  const MethodDefaults& defaults = defaults_of(options.method);
  if (options.symmetric && *options.symmetric != defaults.symmetric) name += *options.symmetric ? "-sym" : "-asym";
  if (options.act_bits == 8) name += "-a8";
  if (options.format != default_format(options)) name += "-" + options.format;
  return name;
}

}  // namespace teeny::cli
