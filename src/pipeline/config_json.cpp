// config.json and quantize_config.json of what is written (formats.md sections 1.5, 2, 5).
#include "pipeline/output.h"
#include "teeny/core/version.h"
#include "teeny/family/names.h"

namespace teeny {
namespace {

Json meta(const Plan& plan, const OutputNotes& notes) {
  Json out = {{"quantizer", Json::array({"teeny:" + version_info().version})}, {"teeny_method", plan.method}, {"granularity", plan.granularity}};
  if (plan.method == "gptq")
    out.update({{"damp_percent", notes.options.damp}, {"static_groups", notes.options.act_order && !notes.options.desc_act}, {"mse", notes.options.mse}});
  return out;
}

Json gptq_config(const Plan& plan, const OutputNotes& notes) {
  const std::string format = plan.format == "gptq" ? "gptq" : "gptq_v2";
  return {{"quant_method", "gptq"},
          {"bits", plan.bits},
          {"group_size", plan.group},
          {"desc_act", notes.options.desc_act && plan.method == "gptq"},
          {"sym", plan.symmetric},
          {"lm_head", false},
          {"checkpoint_format", format},
          {"format", format},
          {"pack_dtype", "int32"},
          {"damp_percent", notes.options.damp},
          {"true_sequential", notes.options.true_sequential},
          {"static_groups", notes.options.act_order && !notes.options.desc_act},
          {"meta", meta(plan, notes)}};
}

Json awq_config(const Plan& plan, const OutputNotes& notes) {
  return {{"quant_method", "awq"}, {"bits", plan.bits}, {"group_size", plan.group}, {"zero_point", true}, {"version", "gemm"},
          {"modules_to_not_convert", nullptr}, {"meta", meta(plan, notes)}};
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
  const char* dtype = plan.dtype == "F16" ? "float16" : plan.dtype == "F32" ? "float32" : "bfloat16";
  const bool old_name = config.contains("torch_dtype") && !config.contains("dtype");
  config[old_name ? "torch_dtype" : "dtype"] = dtype;
  if (plan.format == "gptq" || plan.format == "gptq-v2") config["quantization_config"] = gptq_config(plan, notes);
  if (plan.format == "awq") config["quantization_config"] = awq_config(plan, notes);
  if (plan.format == "bitsandbytes") config["quantization_config"] = bnb_config(plan, notes);
  return config;
}

}  // namespace teeny
