#include "plan/choice.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "teeny/core/error.h"
#include "teeny/plan/plan.h"

namespace teeny {
namespace {

struct MethodRule {
  const char* name;
  int default_bits;
  std::vector<int> bits;
  std::vector<const char*> formats;  // the first is the default
  bool symmetric;
};

const std::array<MethodRule, 7> kMethods = {{
    {"gptq", 4, {2, 3, 4, 8}, {"gptq", "gptq-v2", "compressed-tensors", "gguf"}, true},
    {"awq", 4, {3, 4, 8}, {"awq", "gptq", "gptq-v2", "compressed-tensors", "gguf"}, false},
    {"rtn", 4, {2, 3, 4, 8}, {"gptq", "gptq-v2", "awq", "compressed-tensors", "gguf"}, true},
    {"int8", 8, {8}, {"bitsandbytes", "gptq", "gptq-v2", "compressed-tensors"}, true},
    {"gguf", 4, {2, 3, 4, 5, 6, 8, 16}, {"gguf"}, true},
    {"fp16", 16, {16}, {"safetensors", "gguf"}, true},
    {"bf16", 16, {16}, {"safetensors", "gguf"}, true},
}};

constexpr std::array<std::pair<int, const char*>, 7> kTypeOfBits = {
    {{2, "Q2_K"}, {3, "Q3_K_M"}, {4, "Q4_K_M"}, {5, "Q5_K_M"}, {6, "Q6_K"}, {8, "Q8_0"}, {16, "F16"}}};

const MethodRule& rule_of(const std::string& method) {
  for (const auto& rule : kMethods)
    if (method == rule.name) return rule;
  throw usage_error("quantize", "--method " + method, "is not known; choose gptq, awq, gguf, int8, rtn, fp16 or bf16");
}

std::string default_format(const MethodRule& rule, int bits, int act_bits) {
  if (act_bits == 8) return "compressed-tensors";
  if (std::string(rule.name) != "awq" || bits == 4) return rule.formats[0];
  return bits == 3 ? "gptq" : "compressed-tensors";
}

void check_bits(const MethodRule& rule, const std::vector<int>& allowed, int bits) {
  if (std::find(allowed.begin(), allowed.end(), bits) != allowed.end()) return;
  const auto nearest = *std::min_element(allowed.begin(), allowed.end(), [&](int a, int b) { return std::abs(a - bits) < std::abs(b - bits); });
  throw input_error("quantize", fmt::format("--method {} --bits {}", rule.name, bits), "does not exist; the nearest that does is --bits {} (of {})", nearest,
                    fmt::join(allowed, ", "));
}

void check_format(const MethodRule& rule, const Choice& choice) {
  if (std::find_if(rule.formats.begin(), rule.formats.end(), [&](const char* f) { return choice.format == f; }) == rule.formats.end())
    throw input_error("quantize", fmt::format("--method {} --format {}", rule.name, choice.format), "cannot be combined; {} can be written as {}", rule.name,
                      fmt::join(rule.formats, ", "));
  if (choice.format == "awq" && choice.bits != 4)
    throw input_error("quantize", fmt::format("--format awq --bits {}", choice.bits), "does not exist: AWQ checkpoints hold 4 bits; pass --bits 4 or --format gptq");
  if (choice.format == "compressed-tensors" && choice.bits != 4 && choice.bits != 8)
    throw input_error("quantize", fmt::format("--format compressed-tensors --bits {}", choice.bits), "is not written: readers agree on 4 and 8 bits only; pass --format gptq");
}

// What the words about scales and zero points cannot mean in a format.
void check_granularity(const Choice& choice, const QuantizeOptions& options) {
  const std::string subject = "--granularity " + options.granularity;
  if (choice.format == "bitsandbytes" && options.granularity_typed && options.granularity == "group")
    throw input_error("quantize", subject, "cannot be stored in LLM.int8, which has one scale a row; pass --granularity channel or --format gptq");
  if (choice.act_bits == 8 && options.granularity_typed && options.granularity == "group")
    throw input_error("quantize", subject + " --act-bits 8", "has no runtime: int8 products need one scale a row; pass --granularity channel");
  if (choice.format != "gguf" && choice.format != "safetensors") return;
  if (options.granularity != "group")
    throw input_error("quantize", fmt::format("{} --format {}", subject, choice.format), "does not exist: {}", choice.format == "gguf"
                      ? "GGUF's types have scales of their own for each 16 or 32 weights; leave --granularity out, or pass --format gptq" : "16-bit floats have no scales; leave --granularity out");
  if (options.symmetric)
    throw input_error("quantize", fmt::format("--{} --format {}", *options.symmetric ? "sym" : "asym", choice.format), "does not exist: {}", choice.format == "gguf"
                      ? "the type decides (Q4_0, Q5_0, Q8_0, Q3_K, Q6_K are symmetric, Q4_1, Q5_1, Q2_K, Q4_K, Q5_K are not); pass --type" : "16-bit floats have no zero points; leave it out");
}

// W8A8: int8 weights with a scale a row beside int8 activations.
void check_activations(const MethodRule& rule, const Choice& choice) {
  if (choice.act_bits == 16) return;
  const std::string subject = fmt::format("--act-bits {}", choice.act_bits);
  const std::string method = rule.name;
  if (choice.act_bits != 8) throw input_error("quantize", subject, "does not exist; activations have 8 or 16 bits");
  if (method != "int8" && method != "rtn" && method != "gptq") throw input_error("quantize", subject + " --method " + method, "cannot be combined; use int8, rtn or gptq");
  if (choice.bits != 8) throw input_error("quantize", fmt::format("{} --bits {}", subject, choice.bits), "has no runtime; int8 activations go with --bits 8");
  if (choice.format != "compressed-tensors") throw input_error("quantize", subject + " --format " + choice.format, "cannot be stored; use --format compressed-tensors");
  if (!choice.symmetric) throw input_error("quantize", subject + " --asym", "has no runtime; int8 activations go with symmetric weights");
  if (choice.ordered) throw input_error("quantize", subject + " --desc-act", "cannot be stored; leave one of them out");
}

void resolve_gguf(Choice& choice, const QuantizeOptions& options, const std::string& method) {
  choice.format = "gguf";
  choice.granularity = "group";
  choice.group = -1;
  choice.type = options.type;
  if (!choice.type.empty()) {
    std::transform(choice.type.begin(), choice.type.end(), choice.type.begin(), ::toupper);
    return;
  }
  if (method == "bf16") choice.type = "BF16";
  for (const auto& [bits, type] : kTypeOfBits)
    if (choice.type.empty() && bits == choice.bits) choice.type = type;
}

}  // namespace

Sparsity parse_sparsity(const std::string& text) {
  if (text.empty()) return {};
  const auto bad = [&] { return usage_error("quantize", "--sparsity " + text, "is not a share below 1 like 0.5, nor a pattern like 2:4"); };
  const auto number = [&](std::string_view part, auto value) {
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc() || end != part.data() + part.size()) throw bad();
    return value;
  };
  const auto colon = text.find(':');
  if (colon == std::string::npos) {
    const double share = number(std::string_view(text), 0.0);
    if (!(share > 0 && share < 1)) throw bad();
    return {share, 0};
  }
  const int zeros = number(std::string_view(text).substr(0, colon), 0), of = number(std::string_view(text).substr(colon + 1), 0);
  if (zeros < 1 || zeros >= of || (of != 4 && of != 8 && of != 16)) throw bad();
  return {double(zeros) / of, of};
}

// Pruning happens in GPTQ's loop, on grids that hold 0 exactly.
static void check_sparsity(const Choice& choice, const QuantizeOptions& options) {
  if (parse_sparsity(options.sparsity).share == 0) return;
  const std::string subject = "--sparsity " + options.sparsity;
  if (choice.method != "gptq") throw input_error("quantize", subject + " --method " + choice.method, "cannot be combined: weights are pruned in GPTQ's loop; use --method gptq");
  if (choice.format == "gguf") throw input_error("quantize", subject + " --format gguf", "cannot be combined: most block types cannot hold 0; use --format gptq or compressed-tensors");
  if (options.desc_act) throw usage_error("quantize", subject + " --desc-act", "cannot be combined: pruning goes through the columns as they stand");
  if (options.block % 16 != 0) throw usage_error("quantize", fmt::format("{} --block {}", subject, options.block), "needs a block that is a multiple of 16");
}

Choice resolve(const QuantizeOptions& options) {
  const auto& rule = rule_of(options.method);
  Choice choice;
  choice.method = options.method;
  choice.bits = options.bits ? options.bits : rule.default_bits;
  const bool sixteen = rule.bits == std::vector<int>{16};
  check_bits(rule, options.format == "gguf" && !sixteen ? rule_of("gguf").bits : rule.bits, choice.bits);
  choice.format = options.format.empty() ? default_format(rule, choice.bits, options.act_bits) : options.format;
  choice.act_bits = options.act_bits, choice.act_static = options.act == "static";
  choice.ordered = options.desc_act && choice.method == "gptq";
  const bool one_scale_a_row = choice.format == "bitsandbytes" || choice.act_bits == 8;
  choice.granularity = one_scale_a_row && options.granularity == "group" ? "channel" : options.granularity;
  choice.symmetric = options.symmetric.value_or(rule.symmetric);
  if (choice.granularity != "group" && choice.granularity != "channel" && choice.granularity != "tensor")
    throw usage_error("quantize", "--granularity " + choice.granularity, "is not known; choose tensor, channel or group");
  choice.group = choice.granularity == "group" ? options.group : -1;
  if (choice.granularity == "group" && choice.group <= 0)
    throw usage_error("quantize", fmt::format("--group {}", options.group), "must be positive; for one scale a row pass --granularity channel");
  check_format(rule, choice);
  check_granularity(choice, options);
  check_activations(rule, choice);
  check_sparsity(choice, options);
  if (choice.format == "gguf") {
    if (options.desc_act && choice.method == "gptq")
      throw input_error("quantize", "--desc-act --format gguf", "cannot be combined: GGUF stores no order of columns; leave --desc-act out");
    resolve_gguf(choice, options, choice.method);
  } else if (!options.type.empty()) {
    throw usage_error("quantize", "--type " + options.type, "belongs to GGUF files; pass --method gguf with it");
  }
  if (choice.format == "bitsandbytes" && !choice.symmetric) throw input_error("quantize", "--asym", "cannot be stored in LLM.int8; pass --format gptq");
  return choice;
}

EncodingSpec linear_encoding(const Choice& choice) {
  EncodingSpec spec;
  spec.bits = choice.bits;
  spec.group = choice.group;
  spec.symmetric = choice.symmetric;
  spec.tensor_scale = choice.granularity == "tensor";
  if (choice.format == "gptq" || choice.format == "gptq-v2") {
    spec.kind = EncodingKind::Gptq;
    spec.zero_offset = choice.format == "gptq" ? 1 : 0;
  } else if (choice.format == "awq") {
    spec.kind = EncodingKind::Awq;
    spec.zero_offset = 0;
  } else if (choice.format == "compressed-tensors") {
    spec.kind = choice.act_bits == 8 ? EncodingKind::CtInt : EncodingKind::CtPacked;
    spec.zero_offset = 0;
    spec.ordered = choice.ordered;
    spec.act_bits = choice.act_bits, spec.act_static = choice.act_static;
  } else if (choice.format == "bitsandbytes") {
    spec.kind = EncodingKind::BnbInt8;
    spec.dtype = DType::I8;
    spec.zero_offset = 0;
  } else {
    spec.kind = EncodingKind::Plain;
    spec.dtype = choice.method == "bf16" ? DType::BF16 : DType::F16;
  }
  return spec;
}

}  // namespace teeny
