// config.json and quantize_config.json of what is written (formats.md sections 1.5, 2, 4.3, 5).
#include <algorithm>

#include "pipeline/output.h"
#include "teeny/core/version.h"
#include "teeny/family/names.h"

namespace teeny {
namespace {

Json meta(const Plan& plan, const OutputNotes& notes) {
  Json out = {{"quantizer", Json::array({"teeny:" + version_info().version})}, {"teeny_method", plan.origin.empty() ? plan.method : plan.origin}, {"granularity", plan.granularity}};
  if (plan.method == "gptq")
    out.update({{"damp_percent", notes.options.damp}, {"static_groups", notes.options.act_order && !notes.options.desc_act}, {"mse", notes.options.mse}});
  return out;
}

bool has(const std::vector<std::string>& modules, const std::string& module) { return std::find(modules.begin(), modules.end(), module) != modules.end(); }

bool quantizes_head(const std::vector<EncodingGroup>& groups) {
  return std::any_of(groups.begin(), groups.end(), [](const auto& group) { return has(group.modules, "lm_head"); });
}

std::string exactly(const std::string& module) {  // a pattern that matches this name only
  std::string out;
  for (const char c : module) out += c == '.' ? "\\." : std::string(1, c);
  return out + "$";
}

// Rules for what differs from the numbers of most weights; GPTQModel and vLLM take the first that matches.
Json dynamic_rules(const Plan& plan, const std::vector<EncodingGroup>& groups) {
  Json rules = Json::object();
  for (const auto& module : plain_linears(plan)) rules["-:" + exactly(module)] = Json::object();
  for (size_t i = 1; i < groups.size(); ++i)
    for (const auto& module : groups[i].modules)
      rules["+:" + exactly(module)] = {{"bits", groups[i].encoding.bits}, {"group_size", groups[i].encoding.group}, {"sym", groups[i].encoding.symmetric}};
  return rules;
}

Json gptq_config(const Plan& plan, const OutputNotes& notes) {
  const std::string format = plan.format == "gptq" ? "gptq" : "gptq_v2";
  const auto groups = encoding_groups(plan);
  Json config = {{"quant_method", "gptq"},
          {"bits", plan.bits},
          {"group_size", plan.group},
          {"desc_act", plan.ordered},
          {"sym", plan.symmetric},
          {"lm_head", quantizes_head(groups)},
          {"checkpoint_format", format},
          {"format", format},
          {"pack_dtype", "int32"},
          {"meta", meta(plan, notes)}};
  if (plan.method != "convert")  // else nobody knows
    config.update({{"damp_percent", notes.options.damp}, {"true_sequential", notes.options.true_sequential}, {"static_groups", notes.options.act_order && !plan.ordered}});
  if (Json rules = dynamic_rules(plan, groups); !rules.empty()) config["dynamic"] = std::move(rules);
  return config;
}

Json awq_config(const Plan& plan, const OutputNotes& notes) {
  const auto kept = plain_linears(plan);
  return {{"quant_method", "awq"}, {"bits", plan.bits}, {"group_size", plan.group}, {"zero_point", true}, {"version", "gemm"},
          {"modules_to_not_convert", kept.empty() ? Json() : Json(kept)}, {"meta", meta(plan, notes)}};
}

Json ct_weights(const EncodingSpec& spec) {
  return {{"num_bits", spec.bits}, {"type", "int"}, {"symmetric", spec.symmetric}, {"strategy", spec.group > 0 ? "group" : "channel"},
          {"group_size", spec.group > 0 ? Json(spec.group) : Json()}, {"dynamic", false}, {"actorder", spec.ordered ? Json("group") : Json()},
          {"observer", "minmax"}, {"observer_kwargs", Json::object()}, {"block_structure", nullptr}};
}

Json ct_activations(const EncodingSpec& spec) {
  if (spec.act_bits != 8) return nullptr;
  return {{"num_bits", 8}, {"type", "int"}, {"symmetric", !spec.act_static || spec.act_symmetric}, {"strategy", spec.act_static ? "tensor" : "token"},
          {"group_size", nullptr}, {"dynamic", !spec.act_static}, {"actorder", nullptr}, {"observer", spec.act_static ? Json("minmax") : Json()},
          {"observer_kwargs", Json::object()}, {"block_structure", nullptr}};
}

// Readers forbid unknown keys inside the groups. Most weights go by class, the others by name, which ranks above it.
Json ct_config(const Plan& plan) {
  const auto groups = encoding_groups(plan);
  const auto layout = [](const EncodingSpec& spec) { return spec.kind == EncodingKind::CtInt ? "int-quantized" : "pack-quantized"; };
  const bool one_layout = std::all_of(groups.begin(), groups.end(), [&](const auto& g) { return g.encoding.kind == groups[0].encoding.kind; });
  Json config_groups = Json::object();
  for (size_t i = 0; i < groups.size(); ++i) {
    const auto& spec = groups[i].encoding;
    Json targets = i == 0 ? Json::array({"Linear"}) : Json(groups[i].modules);
    if (i == 0 && has(groups[i].modules, "model.embed_tokens")) targets.push_back("model.embed_tokens");
    Json group = {{"targets", targets}, {"weights", ct_weights(spec)}, {"input_activations", ct_activations(spec)}, {"output_activations", nullptr}};
    if (!one_layout) group["format"] = layout(spec);
    config_groups[fmt::format("group_{}", i)] = std::move(group);
  }
  std::vector<std::string> ignore = plain_linears(plan);
  if (!quantizes_head(groups)) ignore.push_back("lm_head");
  return {{"quant_method", "compressed-tensors"},
          {"format", one_layout ? layout(groups[0].encoding) : "mixed-precision"},
          {"quantization_status", "compressed"},
          {"config_groups", config_groups},
          {"ignore", ignore},
          {"kv_cache_scheme", nullptr},
          {"global_compression_ratio", nullptr},
          {"sparsity_config", Json::object()},
          {"transform_config", Json::object()},
          {"version", "0.15.0"}};  // of the package whose layout this is
}

Json bnb_config(const Plan& plan, const OutputNotes& notes) {
  return {{"quant_method", "bitsandbytes"},
          {"load_in_8bit", true},
          {"load_in_4bit", false},
          {"_load_in_8bit", true},
          {"_load_in_4bit", false},
          {"llm_int8_threshold", 6.0},
          {"llm_int8_skip_modules", nullptr},
          {"llm_int8_enable_fp32_cpu_offload", false},
          {"llm_int8_has_fp16_weight", false},
          {"bnb_4bit_compute_dtype", "float32"},
          {"bnb_4bit_quant_type", "fp4"},
          {"bnb_4bit_use_double_quant", false},
          {"bnb_4bit_quant_storage", "uint8"},
          {"meta", meta(plan, notes)}};
}

}  // namespace

Json output_config(const Plan& plan, const TensorSource& source, const OutputNotes& notes) {
  Json config = source.config().is_object() ? source.config() : hf_config_from_spec(plan.spec);
  config.erase("quantization_config");
  config.erase("teeny_quantization");
  const char* dtype = plan.dtype == "F16" ? "float16" : plan.dtype == "F32" ? "float32" : "bfloat16";
  const bool old_name = config.contains("torch_dtype") && !config.contains("dtype");
  config[old_name ? "torch_dtype" : "dtype"] = dtype;
  if (plan.format == "gptq" || plan.format == "gptq-v2") config["quantization_config"] = gptq_config(plan, notes);
  if (plan.format == "awq") config["quantization_config"] = awq_config(plan, notes);
  if (plan.format == "bitsandbytes") config["quantization_config"] = bnb_config(plan, notes);
  if (plan.format == "compressed-tensors") {
    config["quantization_config"] = ct_config(plan);
    config["teeny_quantization"] = meta(plan, notes);  // not inside: the readers' models take known keys only
  }
  return config;
}

}  // namespace teeny
