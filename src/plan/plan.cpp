#include "teeny/plan/plan.h"

#include <algorithm>
#include <map>

#include "plan/picks.h"
#include "plan/recipe.h"
#include "plan/recode.h"
#include "teeny/core/error.h"
#include "teeny/family/names.h"
#include "teeny/plan/gguf_mix.h"
#include "teeny/plan/mix.h"
#include "teeny/plan/runtimes.h"

namespace teeny {
namespace {

struct Builder {
  Plan plan;
  bool has_head = false;      // an output head of its own is written
  const TensorSource* keep_types = nullptr;  // vectors keep the type that they have in this source

  void add_weight(const std::string& module, int64_t N, int64_t K, const EncodingSpec& encoding, const std::string& method, std::string note = {}) {
    PlannedTensor t;
    t.module = module;
    t.N = N, t.K = K;
    t.encoding = encoding;
    t.method = method;
    t.note = std::move(note);
    t.parts = encoding_parts(encoding, N, K, module);
    for (auto& part : t.parts) part.suffix = file_name(module, part.suffix);
    add(std::move(t));
  }

  void add_vector(const std::string& name, int64_t N, DType dtype) {
    PlannedTensor t;
    t.module = name;
    t.weight = false;
    t.N = N;
    if (keep_types) dtype = stored_type(*keep_types, name, dtype);
    t.encoding.dtype = dtype;
    t.method = "plain";
    t.parts = {{plan.container == ContainerKind::Gguf ? to_gguf_name(name).value() : name, dtype, {N}}};
    add(std::move(t));
  }

  void add(PlannedTensor t) {
    for (const auto& part : t.parts) t.bytes += part.bytes();
    plan.bytes += t.bytes;
    plan.tensors.push_back(std::move(t));
  }

 private:
  std::string file_name(const std::string& module, const std::string& suffix) const {
    const std::string name = module + "." + suffix;
    return plan.container == ContainerKind::Gguf ? to_gguf_name(name).value() : name;
  }
};

bool source_has_bias(const TensorSource& source, const ModelSpec& spec, const std::string& module) {
  if (source.tensors().empty()) {  // planned from config.json alone
    if (module.ends_with("q_proj") || module.ends_with("k_proj") || module.ends_with("v_proj")) return spec.qkv_bias;
    return module.ends_with("o_proj") ? spec.o_bias : spec.mlp_bias;
  }
  const std::string canonical = module + ".bias";
  if (source.kind() == ContainerKind::Safetensors) return source.find(canonical) != nullptr;
  const auto name = to_gguf_name(canonical);
  return name && source.find(*name);
}

EncodingSpec plain(DType dtype) {
  EncodingSpec spec;
  spec.dtype = dtype;
  return spec;
}

// What the process holds without a model, and the inputs that are captured at a time (calib/collect.cpp), in bytes.
constexpr uint64_t kBaseBytes = 128 << 20, kCapturedBytes = 128 << 20;

// A block in f32, its largest weight twice more, the hidden states, and of the largest input either four matrices of the
// Hessian's size or one with the inputs that are added to it.
uint64_t working_bytes(const ModelSpec& spec, bool calibrated, int64_t samples, int64_t seq_len) {
  uint64_t block = 0, largest_k = 0, largest_linear = 0;
  for (const auto& slot : kLinears) {
    const auto [N, K] = linear_shape(spec, slot.module);
    block += uint64_t(N) * uint64_t(K);
    largest_k = std::max(largest_k, uint64_t(K));
    largest_linear = std::max(largest_linear, uint64_t(N) * uint64_t(K));
  }
  const uint64_t head = uint64_t(spec.vocab) * uint64_t(spec.hidden);
  if (!calibrated) return 8 * std::max(largest_linear, head);
  const uint64_t hidden = uint64_t(samples) * uint64_t(seq_len) * uint64_t(spec.hidden);
  const uint64_t square = 4 * largest_k * largest_k;
  return 4 * (block + 2 * largest_linear + hidden) + std::max(4 * square, square + kCapturedBytes) + kBaseBytes;
}

// Every tensor of the model in file order, with `encode` choosing the encoding of each weight.
template <class Encode>
void walk(Builder& builder, const TensorSource& source, DType vector_dtype, DType bias_dtype, const Encode& encode) {
  const auto& spec = builder.plan.spec;
  encode("model.embed_tokens", spec.vocab, spec.hidden, false);
  if (!spec.tied) encode("lm_head", spec.vocab, spec.hidden, false);
  builder.add_vector(kFinalNorm, spec.hidden, vector_dtype);
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    const std::string prefix = layer_prefix(layer);
    builder.add_vector(prefix + "input_layernorm.weight", spec.hidden, vector_dtype);
    builder.add_vector(prefix + "post_attention_layernorm.weight", spec.hidden, vector_dtype);
    for (const char* norm : {"self_attn.q_norm.weight", "self_attn.k_norm.weight"})
      if (spec.qk_norm) builder.add_vector(prefix + norm, spec.head_dim, vector_dtype);
    for (const auto& slot : kLinears) {
      const auto [N, K] = linear_shape(spec, slot.module);
      encode(prefix + slot.module, N, K, true);
      if (source_has_bias(source, spec, prefix + slot.module)) builder.add_vector(prefix + slot.module + ".bias", N, bias_dtype);
    }
  }
}

DType plain_dtype(const ModelSpec& spec) {
  if (spec.dtype == "float32") return DType::F32;
  return spec.dtype == "float16" ? DType::F16 : DType::BF16;
}

// A rule may have a weight rounded to nearest inside GPTQ's loop; every other method is the whole model's.
std::string method_of(const Rule& rule, const std::string& method, const std::string& module) {
  if (rule.method.empty() || rule.method == method) return method;
  if (rule.method == "rtn" && method == "gptq") return "rtn";
  throw usage_error("recipe", fmt::format("rule \"{}\" for {}", printable(rule.match), module), "wants the method {}, the model is quantized with {}; give that with --method, or skip the weight",
                    printable(rule.method), method);
}

void fill_hf(Builder& builder, const TensorSource& source, const EncodingSpec& linear, DType rest, const std::string& method, const std::vector<Rule>& rules = {},
             const MixPicks& picks = {}) {
  walk(builder, source, rest, rest, [&](const std::string& module, int64_t N, int64_t K, bool in_block) {
    const Rule* rule = in_block ? find_rule(rules, module) : nullptr;
    const auto pick = picks.find(module);
    if (!in_block || (rule && rule->skip))
      builder.add_weight(module, N, K, plain(rest), "plain");
    else if (rule)
      builder.add_weight(module, N, K, apply_rule(*rule, linear, builder.plan.format, module), method_of(*rule, method, module));
    else if (pick != picks.end())
      builder.add_weight(module, N, K, pick->second.encoding, pick->second.encoding.kind == EncodingKind::Plain ? "plain" : method);
    else
      builder.add_weight(module, N, K, linear, method);
    builder.plan.tensors.back().by_rule = rule != nullptr;
  });
}

// A GGUF file without a mix of a name is called after the type of most weights.
void settle_gguf_type(Plan& plan) {
  std::map<DType, int64_t> weights;
  for (const auto& tensor : plan.tensors)
    if (tensor.weight) weights[tensor.encoding.dtype] += tensor.N * tensor.K;
  const auto most = std::max_element(weights.begin(), weights.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  for (const auto& type : gguf_file_types())
    if (most != weights.end() && type.dtype == most->first && !type.name.ends_with("_M") && !type.name.ends_with("_L") && !type.needs_importance) plan.type = type.name;
  plan.bits = most == weights.end() ? plan.bits : int(traits(most->first).bits_per_weight());
}

// The labels of a checkpoint say what most of its weights are.
void settle_labels(Plan& plan) {
  check_fused(plan);
  const auto groups = encoding_groups(plan);
  if (plan.container == ContainerKind::Gguf || groups.empty()) return;
  plan.bits = groups[0].encoding.bits, plan.group = groups[0].encoding.group, plan.symmetric = groups[0].encoding.symmetric;
}

void fill_gguf(Builder& builder, const TensorSource& source, const std::string& type, bool has_importance, const std::string& block_method = "search",
               const std::vector<Rule>& rules = {}, const MixPicks& picks = {}) {
  const auto& spec = builder.plan.spec;
  const auto& file_type = gguf_file_type(type);
  builder.plan.type = file_type.name;
  std::vector<MixTensor> tensors;
  Builder scratch{builder.plan, {}};
  walk(scratch, source, DType::F32, DType::F32, [&](const std::string& module, int64_t N, int64_t K, bool) {
    tensors.push_back({to_gguf_name(module + ".weight").value(), {N, K}});
  });
  const auto mix = gguf_type_mix(file_type, {spec.gguf_arch, spec.layers, spec.heads, spec.kv_heads, 0}, tensors, has_importance);
  if (!spec.rope_freq_factors.empty()) {
    PlannedTensor freqs;
    freqs.module = kRopeFreqs;
    freqs.weight = false;
    freqs.N = spec.head_dim / 2;
    freqs.method = "plain";
    freqs.parts = {{kRopeFreqs, DType::F32, {freqs.N}}};
    builder.add(std::move(freqs));
  }
  size_t next = 0;
  walk(builder, source, DType::F32, DType::F32, [&](const std::string& module, int64_t N, int64_t K, bool in_block) {
    const auto choice = mix[next++];
    EncodingSpec encoding = plain(choice.dtype);
    encoding.kind = traits(choice.dtype).scalar() ? EncodingKind::Plain : EncodingKind::Ggml;
    std::string note;
    if (choice.dtype != choice.wanted) note = fmt::format("K={} is no multiple of {}'s block of {}", K, name_of(choice.wanted), traits(choice.wanted).block);
    const Rule* rule = find_rule(rules, module);
    const auto pick = picks.find(module);
    if (rule) encoding = rule->skip ? plain(DType::F16) : apply_rule(*rule, encoding, "gguf", module);
    else if (pick != picks.end()) encoding = pick->second.encoding;
    if (rule || pick != picks.end()) note.clear();
    builder.add_weight(module, N, K, encoding, encoding.kind == EncodingKind::Plain ? "plain" : in_block ? block_method : "search", note);
    builder.plan.tensors.back().by_rule = rule != nullptr;
    if (!rule && pick != picks.end()) builder.plan.tensors.back().importance = pick->second.importance;
  });
}

// The codes of the source in another checkpoint format; what is not quantized stays as it is stored, or becomes `rest`.
void fill_recoded(Builder& builder, const TensorSource& source, const QuantConfig& quant, DType rest, bool keep_types) {
  Plan& plan = builder.plan;
  if (keep_types) builder.keep_types = &source;
  walk(builder, source, rest, rest, [&](const std::string& module, int64_t N, int64_t K, bool) {
    const StoredWeight stored = stored_weight(source, quant, module, N, K);
    if (stored.quantized())
      builder.add_weight(module, N, K, recoded(source, stored, plan.format, module, K), "recode");
    else
      builder.add_weight(module, N, K, plain(keep_types ? stored_type(source, module + ".weight", rest) : rest), "plain");
  });
  settle_recoded(plan, source, quant);
}

void finish(Plan& plan, const QuantizeOptions& options) {
  plan.bits_per_weight = 8.0 * double(plan.bytes) / double(plan.spec.parameters());
  plan.working_bytes = working_bytes(plan.spec, plan.calibrated, options.samples, options.seq_len);
  plan.runtimes = {{"teeny", "yes"}};
  for (const auto& verdict : judge_runtimes(facts_of(plan))) plan.runtimes.emplace_back(verdict.runtime, verdict.why.empty() ? verdict.loads : verdict.loads + ": " + verdict.why);
}

}  // namespace

Plan plan_with(const TensorSource& source, const ModelSpec& spec, const QuantizeOptions& options, const MixPicks& picks) {
  const Choice choice = resolve(options);
  const std::vector<Rule> rules = read_recipe(options.recipe);
  Builder builder;
  Plan& plan = builder.plan;
  plan.spec = spec;
  plan.method = choice.method, plan.format = choice.format, plan.type = choice.type, plan.granularity = choice.granularity;
  plan.bits = choice.bits, plan.group = choice.group, plan.symmetric = choice.symmetric;
  plan.symmetry_typed = options.symmetric.has_value();
  plan.ordered = choice.ordered, plan.act_bits = choice.act_bits, plan.act_static = choice.act_static;
  plan.container = choice.format == "gguf" ? ContainerKind::Gguf : ContainerKind::Safetensors;
  plan.calibrated = choice.method == "gptq" || choice.method == "awq" || (choice.method == "gguf" && !options.calibration.empty());
  plan.calibrated |= plan.act_bits == 8 && (plan.act_static || options.smooth != 0);
  if (plan.container == ContainerKind::Gguf) {
    const bool by_block = plan.calibrated && choice.method != "gguf";
    const bool importance = plan.calibrated || (choice.method == "gguf" && !options.importance.empty());
    fill_gguf(builder, source, choice.type, importance, by_block ? choice.method : "search", rules, picks);
    if (!picks.empty()) {
      settle_gguf_type(plan);
      const auto wants = [](const PlannedTensor& t) { return t.weight && t.importance && t.encoding.kind == EncodingKind::Ggml && t.module.starts_with("model.layers."); };
      if (choice.method == "gguf") plan.calibrated = options.importance.empty() && std::any_of(plan.tensors.begin(), plan.tensors.end(), wants);
    }
  } else {
    const bool sixteen = choice.method == "fp16" || choice.method == "bf16";
    EncodingSpec linear = linear_encoding(choice);
    // Loaders of GPTQ and AWQ run in fp16; LLM.int8 and compressed-tensors keep the model's own type beside their weights.
    const bool own_type = choice.format == "bitsandbytes" || choice.format == "compressed-tensors";
    const DType rest = sixteen ? linear.dtype : own_type ? plain_dtype(spec) : DType::F16;
    if (choice.format == "compressed-tensors") linear.scale_dtype = rest;  // readers take the scale's type for the weight's
    plan.dtype = name_of(rest);
    const std::string method = sixteen ? "plain" : choice.method == "int8" ? "rtn" : choice.method;
    fill_hf(builder, source, linear, rest, method, rules, picks);
  }
  if (!rules.empty() || !picks.empty()) settle_labels(plan);
  finish(plan, options);
  return plan;
}

Plan make_plan(const TensorSource& source, const ModelSpec& spec, const QuantizeOptions& options) {
  check_mix(options, resolve(options));
  if (!wants_mix(options)) return plan_with(source, spec, options, {});
  if (options.sensitivity.empty()) return plan_unmeasured(source, spec, options);
  return make_mixed_plan(source, spec, options, read_sensitivity(options.sensitivity));
}

Plan make_convert_plan(const TensorSource& source, const ModelSpec& spec, const ConvertOptions& options) {
  Builder builder;
  Plan& plan = builder.plan;
  plan.spec = spec;
  plan.method = "convert", plan.format = options.format, plan.granularity = "group";
  std::string dtype = options.dtype.empty() ? "" : options.dtype;
  std::transform(dtype.begin(), dtype.end(), dtype.begin(), ::toupper);
  if (!dtype.empty() && dtype != "F16" && dtype != "BF16" && dtype != "F32")
    throw usage_error("convert", "--dtype " + options.dtype, "is not known; choose f16, bf16 or f32");
  if (options.format == "gguf") {
    plan.container = ContainerKind::Gguf;
    plan.type = options.type.empty() ? (dtype.empty() ? std::string(name_of(plain_dtype(spec))) : dtype) : options.type;
    std::transform(plan.type.begin(), plan.type.end(), plan.type.begin(), ::toupper);
    fill_gguf(builder, source, plan.type, false);
  } else if (options.format == "safetensors") {
    const DType rest = dtype.empty() ? plain_dtype(spec) : dtype_from_name(dtype).value();
    plan.dtype = name_of(rest);
    plan.bits = int(traits(rest).bytes) * 8;
    fill_hf(builder, source, plain(rest), rest, "plain");
  } else {
    const QuantConfig quant = read_quant_config(source);
    if (quant.method.empty() || quant.method == "gguf")
      throw input_error("convert", "--format " + options.format, "keeps codes that are there, and {} has none of that kind; use `teeny quantize --format {}`", source.path(),
                        options.format);
    const DType rest = dtype.empty() ? plain_dtype(spec) : dtype_from_name(dtype).value();
    plan.dtype = name_of(rest);
    fill_recoded(builder, source, quant, rest, dtype.empty());
  }
  const QuantizeOptions nothing_calibrated;
  finish(plan, nothing_calibrated);
  return plan;
}

std::string default_output(const Plan& plan, const std::string& model_name) {
  std::string out = fmt::format("./{}-{}-", model_name, plan.method);
  if (plan.mix) return out + fmt::format("{}{}", plan.mix->label, plan.container == ContainerKind::Gguf ? ".gguf" : plan.format == "gptq" ? "" : "-" + plan.format);
  if (plan.container == ContainerKind::Gguf) return out + plan.type + ".gguf";
  out += fmt::format("{}bit", plan.bits);
  if (plan.granularity == "group" && plan.group != 128 && plan.bits < 16) out += fmt::format("-g{}", plan.group);
  if (plan.act_bits < 16) out += fmt::format("-a{}", plan.act_bits);
  if (plan.granularity != "group" && plan.format != "bitsandbytes" && plan.act_bits == 16) out += "-" + plan.granularity;
  const bool default_sym = plan.method != "awq";
  if (plan.bits < 16 && plan.symmetric != default_sym) out += plan.symmetric ? "-sym" : "-asym";
  const bool default_format = plan.format == "gptq" ? plan.method == "gptq" || plan.method == "rtn" || (plan.method == "awq" && plan.bits == 3)
                                                    : plan.format == "awq" ? plan.method == "awq"
                              : plan.format == "compressed-tensors" ? plan.act_bits == 8 || (plan.method == "awq" && plan.bits == 8) : plan.format == "bitsandbytes" || plan.format == "safetensors";
  if (!default_format) out += "-" + plan.format;
  return out;
}

Json plan_json(const Plan& plan) {
  Json tensors = Json::array();
  for (const auto& t : plan.tensors) {
    Json row = {{"name", t.module}, {"method", t.method}, {"encoding", t.encoding.name()}, {"bytes", t.bytes}};
    if (t.weight) row["shape"] = {t.N, t.K}; else row["shape"] = {t.N};
    row["bits_per_weight"] = 8.0 * double(t.bytes) / (double(t.N) * double(t.weight ? t.K : 1));
    if (!t.note.empty()) row["note"] = t.note;
    tensors.push_back(row);
  }
  Json runtimes = Json::object();
  for (const auto& [name, answer] : plan.runtimes) runtimes[name] = answer;
  Json out = {{"method", plan.method}, {"format", plan.format}, {"type", plan.type.empty() ? Json() : Json(plan.type)}, {"bits", plan.bits},
          {"group", plan.group}, {"symmetric", plan.symmetric}, {"bytes", plan.bytes}, {"bits_per_weight", plan.bits_per_weight},
          {"act_bits", plan.act_bits < 16 ? Json(plan.act_bits) : Json()}, {"working_bytes", plan.working_bytes}, {"calibrated", plan.calibrated}, {"runtimes", runtimes}, {"tensors", tensors}};
  if (plan.mix) out["mix"] = mix_json(plan);
  return out;
}

}  // namespace teeny
