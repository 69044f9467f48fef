// The table of rules. Facts of mid-2026; sources: vLLM quantization/{gptq_marlin,auto_awq,compressed_tensors}, utils/marlin_utils
// and PR 38288, transformers' quantizers, GPTQModel, llama.cpp's converter.
#include "teeny/plan/runtimes.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

namespace teeny {
namespace {

using Facts = CheckpointFacts;

constexpr int64_t kTileRows = 64, kTileColumns = 128;
constexpr std::array<int64_t, 4> kMarlinGroups = {-1, 32, 64, 128};
constexpr std::array<int, 3> kGpus = {2, 4, 8};

struct Shape {
  const char* name;
  int64_t N, K;
  bool row_parallel;  // split along K; else along N
};

// Linears as runtimes fuse them.
std::vector<Shape> fused_shapes(const ModelSpec& spec) {
  const int64_t q = spec.heads * spec.head_dim, kv = spec.kv_heads * spec.head_dim;
  return {{"qkv_proj", q + 2 * kv, spec.hidden, false}, {"o_proj", spec.hidden, q, true}, {"gate_up_proj", 2 * spec.intermediate, spec.hidden, false},
          {"down_proj", spec.hidden, spec.intermediate, true}};
}

bool group_divides(const Facts& f) {
  if (!f.spec || f.group <= 0) return true;
  const auto shapes = fused_shapes(*f.spec);
  return std::all_of(shapes.begin(), shapes.end(), [&](const Shape& s) { return s.K % f.group == 0; });
}

std::string off_tiles(const Facts& f) {
  if (!f.spec) return "";
  for (const auto& s : fused_shapes(*f.spec))
    if (s.N % kTileRows != 0 || s.K % kTileColumns != 0) return fmt::format("{} is ({}, {})", s.name, s.N, s.K);
  return "";
}

bool marlin_group(const Facts& f) { return std::find(kMarlinGroups.begin(), kMarlinGroups.end(), f.group) != kMarlinGroups.end(); }

std::string split_note(const Facts& f) {
  if (!f.spec) return "";
  std::string fits, problem;
  for (const int gpus : kGpus) {
    const auto why = split_problem(f, gpus);
    if (why.empty()) fits += fmt::format("{}{}", fits.empty() ? "" : ", ", gpus);
    if (!why.empty() && problem.empty()) problem = why;
  }
  const std::string over = fits.empty() ? "no tensor parallelism over 2, 4 or 8 GPUs" : "tensor parallel over " + fits + " GPUs";
  return problem.empty() ? over : over + ": " + problem;
}

enum class Say { No, Partly, Yes, Note };

struct Rule {
  const char* runtime;
  const char* formats;  // space-separated
  Say say;
  bool (*when)(const Facts&);
  std::string (*text)(const Facts&);
};

#define WHEN [](const Facts& f) -> bool
#define TEXT [](const Facts& f) -> std::string
const auto always = [](const Facts&) { return true; };
constexpr const char* kTiled = "gptq gptq-v2 awq compressed-tensors";

// In order: the first No ends it; otherwise the weakest answer holds and all texts are said.
const std::vector<Rule>& rules() {
  static const std::vector<Rule> table = {
      {"vLLM", "gptq gptq-v2", Say::No, WHEN { return !f.symmetric; }, TEXT { (void)f; return "raises \"Unsupported quantization config\" for asymmetric GPTQ since PR 38288; convert it to compressed-tensors"; }},
      {"vLLM", "gptq gptq-v2", Say::No, WHEN { return f.bits != 4 && f.bits != 8; }, TEXT { return fmt::format("raises \"Unsupported quantization config\" for {}-bit GPTQ since PR 38288; 4 and 8 bits load", f.bits); }},
      {"vLLM", "awq", Say::No, WHEN { return !f.zero_point; }, TEXT { (void)f; return "AWQ is loaded with zero points only; convert it to awq again, which writes them"; }},
      {"vLLM", "compressed-tensors", Say::No, WHEN { return f.bits != 4 && f.bits != 8 && !f.symmetric; }, TEXT { return fmt::format("asymmetric weights are loaded with 4 and 8 bits, not {}", f.bits); }},
      {"vLLM", "compressed-tensors", Say::No, WHEN { return f.act_bits == 8 && !f.symmetric; }, TEXT { (void)f; return "int8 activations go with symmetric weights only"; }},
      {"vLLM", kTiled, Say::No, WHEN { return !f.unequal.empty(); }, TEXT { return "it fuses q, k, v and gate, up, which must have one scheme; " + f.unequal + " differ"; }},
      {"vLLM", kTiled, Say::No, WHEN { return !group_divides(f); }, TEXT { return fmt::format("the columns of a linear are no multiple of group {}", f.group); }},
      {"vLLM", "gptq awq gptq-v2 compressed-tensors bitsandbytes safetensors", Say::No, WHEN { return !f.has_config; }, TEXT { (void)f; return "there is no config.json beside the file"; }},
      {"vLLM", "gptq awq", Say::Yes, always, TEXT { (void)f; return "Marlin kernels"; }},
      {"vLLM", "gptq-v2", Say::Partly, always, TEXT { (void)f; return "v2 since PR 26092; --format gptq is the safe choice for symmetric codes"; }},
      {"vLLM", "compressed-tensors", Say::Yes, always, TEXT { return f.act_bits == 8 ? "int8 kernels (cutlass)" : "Marlin kernels"; }},
      {"vLLM", kTiled, Say::Partly, WHEN { return f.act_bits == 16 && !marlin_group(f); }, TEXT { return fmt::format("Marlin takes groups of 32, 64, 128 and whole rows, not {}; slower kernels may", f.group); }},
      {"vLLM", kTiled, Say::Partly, WHEN { return f.act_bits == 16 && !off_tiles(f).empty(); }, TEXT { return fmt::format("Marlin needs rows in 64s and columns in 128s, but {}; slower kernels may take it", off_tiles(f)); }},
      {"vLLM", kTiled, Say::Note, WHEN { return f.spec.has_value(); }, TEXT { return split_note(f); }},
      {"vLLM", kTiled, Say::Note, WHEN { return f.ordered; }, TEXT { (void)f; return "desc_act keeps all scales on every rank"; }},
      {"vLLM", "gptq gptq-v2", Say::Note, WHEN { return f.dynamic_rules; }, TEXT { (void)f; return "`dynamic` rules must match all or none of q, k, v and of gate, up"; }},
      {"vLLM", "bitsandbytes", Say::Yes, always, TEXT { (void)f; return "today; RFC 39583 proposes to deprecate it"; }},
      {"vLLM", "gguf", Say::Partly, always, TEXT { (void)f; return "only through the package vllm-gguf-plugin since v0.24"; }},
      {"vLLM", "safetensors", Say::Yes, always, TEXT { (void)f; return ""; }},

      {"Transformers", "gptq awq gptq-v2 compressed-tensors bitsandbytes safetensors", Say::No, WHEN { return !f.has_config; }, TEXT { (void)f; return "there is no config.json beside the file"; }},
      {"Transformers", "awq", Say::No, WHEN { return !f.zero_point; }, TEXT { (void)f; return "AWQ is loaded with zero points only"; }},
      {"Transformers", "compressed-tensors", Say::Partly, WHEN { return f.ordered; }, TEXT { (void)f; return "compressed-tensors 0.20 and later refuse actorder \"group\"; use an earlier one, or quantize without --desc-act"; }},
      {"Transformers", "compressed-tensors", Say::Partly, WHEN { return !f.symmetric && f.act_bits == 16; }, TEXT { (void)f; return "transformers 5.23 with compressed-tensors 0.20 stops at packed zero points, the package's own too; --sym loads"; }},
      {"Transformers", "gptq gptq-v2", Say::Yes, always, TEXT { (void)f; return "with the packages optimum and gptqmodel"; }},
      {"Transformers", "awq", Say::Yes, always, TEXT { (void)f; return "with the package gptqmodel"; }},
      {"Transformers", "compressed-tensors", Say::Yes, always, TEXT { (void)f; return "with compressed-tensors 0.15 or later"; }},
      {"Transformers", "bitsandbytes", Say::Yes, always, TEXT { (void)f; return "with the package bitsandbytes"; }},
      {"Transformers", "gguf", Say::Partly, always, TEXT { (void)f; return "unpacks to full precision on load"; }},
      {"Transformers", "safetensors", Say::Yes, always, TEXT { (void)f; return ""; }},

      {"GPTQModel", "gptq gptq-v2", Say::Yes, always, TEXT { (void)f; return ""; }},
      {"GPTQModel", "awq", Say::Yes, WHEN { return f.zero_point; }, TEXT { (void)f; return ""; }},

      {"SGLang", "gptq gptq-v2", Say::No, WHEN { return f.bits != 4 && f.bits != 8; }, TEXT { return fmt::format("its GPTQ kernels take 4 and 8 bits, not {}", f.bits); }},
      {"SGLang", "gptq gptq-v2", Say::Partly, WHEN { return !f.symmetric || f.format == "gptq-v2"; }, TEXT { (void)f; return "not verified for asymmetric codes and for v2"; }},
      {"SGLang", "gptq gptq-v2 awq compressed-tensors", Say::Yes, always, TEXT { (void)f; return "not verified"; }},
      {"SGLang", "bitsandbytes gguf", Say::Partly, always, TEXT { (void)f; return "not verified"; }},
      {"SGLang", "safetensors", Say::Yes, WHEN { return f.has_config; }, TEXT { (void)f; return ""; }},

      {"llama.cpp", "gptq gptq-v2", Say::No, WHEN { return f.bits == 3; }, TEXT { (void)f; return "its converter has no 3-bit GPTQ; use 'teeny convert --format gguf'"; }},
      {"llama.cpp", "gptq gptq-v2 compressed-tensors", Say::No, always, TEXT { (void)f; return "its converter unpacks to f16; 'teeny convert --format gguf' keeps control"; }},
      {"llama.cpp", "awq bitsandbytes safetensors", Say::No, always, TEXT { (void)f; return "use 'teeny convert --format gguf'"; }},
      {"llama.cpp", "gguf", Say::Yes, always, TEXT { (void)f; return "native"; }},

      {"ollama", "gguf", Say::Yes, always, TEXT { (void)f; return "through a Modelfile (FROM ./file.gguf); xllamacpp and other bindings of llama.cpp too"; }},
      {"ollama", "gptq gptq-v2 awq compressed-tensors bitsandbytes", Say::No, always, TEXT { (void)f; return "use 'teeny convert --format gguf'"; }},
  };
  return table;
}
#undef WHEN
#undef TEXT

bool covers(const char* formats, const std::string& format) {
  for (const char* at = formats; *at;) {
    const size_t n = std::strcspn(at, " ");
    if (format.size() == n && format.compare(0, n, at, n) == 0) return true;
    at += n + (at[n] == ' ');
  }
  return false;
}

// Schemes of q, k, v and of gate, up by module; the first pair that differs.
template <class SchemeOf>
std::string first_unequal(const ModelSpec& spec, const SchemeOf& scheme_of_module) {
  for (int64_t layer = 0; layer < spec.layers; ++layer)
    for (const auto& [first, second] : {std::pair{"self_attn.q_proj", "self_attn.k_proj"}, {"self_attn.q_proj", "self_attn.v_proj"}, {"mlp.gate_proj", "mlp.up_proj"}}) {
      const std::string prefix = layer_prefix(layer);
      if (scheme_of_module(prefix + first) != scheme_of_module(prefix + second)) return fmt::format("{} and {} of layer {}", std::strchr(first, '.') + 1, std::strchr(second, '.') + 1, layer);
    }
  return "";
}

}  // namespace

std::string split_problem(const CheckpointFacts& facts, int gpus) {
  if (!facts.spec) return "";
  const auto& spec = *facts.spec;
  if (spec.heads % gpus != 0) return fmt::format("{} heads are no multiple of {}", spec.heads, gpus);
  if (spec.kv_heads % gpus != 0 && gpus % spec.kv_heads != 0) return fmt::format("{} key and value heads do not divide over {}", spec.kv_heads, gpus);
  for (const auto& s : fused_shapes(spec)) {
    const int64_t split = s.row_parallel ? s.K : s.N;
    if (split % gpus != 0) return fmt::format("{} of {} do not divide by {}", s.name, split, gpus);
    const int64_t piece = s.row_parallel && facts.group > 0 ? facts.group : s.row_parallel && facts.act_bits == 16 ? kTileColumns : 1;
    if (split % (piece * gpus) == 0) continue;
    std::string why = fmt::format("{} has {} columns, no multiple of {} x {} GPUs", s.name, split, piece, gpus);
    if (std::strcmp(s.name, "down_proj") == 0) {
      const int64_t whole = piece * kGpus.back();
      why += fmt::format(" (intermediate size {} padded with zeros would be)", (split + whole - 1) / whole * whole);
    }
    return why;
  }
  return "";
}

std::vector<Verdict> judge_runtimes(const CheckpointFacts& facts) {
  std::vector<Verdict> out;
  Say weakest = Say::Note;
  bool ended = false;
  for (const auto& rule : rules()) {
    if (out.empty() || out.back().runtime != rule.runtime) {
      out.push_back({rule.runtime, "no", ""});
      weakest = Say::Note, ended = false;
    }
    if (ended || !covers(rule.formats, facts.format) || !rule.when(facts)) continue;
    Verdict& verdict = out.back();
    ended = rule.say == Say::No;
    if (ended) verdict.why.clear();
    if (rule.say < weakest) weakest = rule.say;
    const std::string text = rule.text(facts);
    verdict.why += (verdict.why.empty() || text.empty() ? "" : "; ") + text;
    verdict.loads = weakest == Say::No ? "no" : weakest == Say::Partly ? "partly" : "yes";
  }
  std::erase_if(out, [](const Verdict& v) { return v.loads == "no" && v.why.empty(); });  // a runtime of other formats
  return out;
}

// A mixed checkpoint is as loadable as its least loadable weights.
static void narrow(CheckpointFacts& f, int bits, bool symmetric) {
  f.symmetric = f.symmetric && symmetric;
  if (bits != 4 && bits != 8) f.bits = bits;
}

CheckpointFacts facts_of(const Plan& plan) {
  CheckpointFacts f;
  f.format = plan.format, f.layout = plan.type, f.bits = plan.bits, f.group = plan.group, f.symmetric = plan.symmetric;
  f.ordered = plan.ordered, f.act_bits = plan.act_bits, f.spec = plan.spec;
  const auto groups = encoding_groups(plan);
  f.dynamic_rules = groups.size() > 1 || !plain_linears(plan).empty();
  for (const auto& group : groups) narrow(f, group.encoding.bits, group.encoding.symmetric);
  const auto scheme = [&](const std::string& module) {
    for (size_t i = 0; i < groups.size(); ++i)
      if (std::find(groups[i].modules.begin(), groups[i].modules.end(), module) != groups[i].modules.end()) return int(i);
    return -1;
  };
  if (plan.format != "gguf" && f.dynamic_rules) f.unequal = first_unequal(plan.spec, scheme);
  return f;
}

CheckpointFacts facts_of(const TensorSource& source, const QuantConfig& quant, const std::optional<ModelSpec>& spec) {
  CheckpointFacts f;
  f.spec = spec;
  f.has_config = !source.config().is_null();
  f.format = source.kind() == ContainerKind::Gguf ? "gguf" : quant.method.empty() ? "safetensors" : quant.method == "gptq" && quant.format == "gptq_v2" ? "gptq-v2" : quant.method;
  f.layout = quant.format, f.bits = quant.bits, f.group = quant.group, f.symmetric = quant.symmetric, f.ordered = quant.desc_act;
  f.act_bits = quant.act_bits;
  for (const auto& scheme : quant.schemes) narrow(f, scheme.bits, scheme.symmetric);
  f.zero_point = quant.method != "awq" || !quant.symmetric;
  f.dynamic_rules = quant.method == "gptq" && (!quant.schemes.empty() || !quant.ignore.empty());
  if (!spec || quant.method.empty() || quant.method == "gguf" || (quant.schemes.size() < 2 && quant.ignore.size() < 2)) return f;
  const auto scheme = [&](const std::string& module) {
    auto found = scheme_of(quant, module);
    if (found) found->targets.clear();
    return found;
  };
  f.unequal = first_unequal(*spec, scheme);
  return f;
}

}  // namespace teeny
