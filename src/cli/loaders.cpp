// Which runtimes load a checkpoint, and why not. Facts of mid-2026, by container and quantization (docs/formats).
#include <fmt/format.h>

#include "cli/describe.h"
#include "teeny/core/file.h"

namespace teeny::cli {
namespace {

using Loaders = std::vector<Loader>;

// GPUs over which vLLM can split the row-parallel linears: K / (group x GPUs) must be whole (formats: 1.4).
std::string tensor_parallel_note(const QuantConfig& quant, const std::optional<ModelSpec>& spec) {
  if (!spec || quant.group <= 0) return "";
  std::string fits;
  for (int gpus : {1, 2, 4, 8}) {
    bool whole = spec->kv_heads % gpus == 0 || gpus % spec->kv_heads == 0;
    for (const char* module : {"self_attn.o_proj", "mlp.down_proj"}) whole = whole && linear_shape(*spec, module).second % (quant.group * gpus) == 0;
    if (whole) fits += fmt::format("{}{}", fits.empty() ? "" : ", ", gpus);
  }
  if (fits.empty()) return "; the inputs of o_proj and down_proj are no multiple of the group";
  return "; tensor parallel over " + fits;
}

Loader vllm_gptq(const QuantConfig& quant, const std::optional<ModelSpec>& spec) {
  if (!quant.symmetric || (quant.bits != 4 && quant.bits != 8))
    return {"vLLM", "no", fmt::format("raises \"Unsupported quantization config\" for {} {}-bit GPTQ since PR 38288; symmetric 4 or 8 bits load", quant.symmetric ? "symmetric" : "asymmetric", quant.bits)};
  std::string why = "Marlin kernels" + tensor_parallel_note(quant, spec);
  if (quant.raw.is_object() && quant.raw.contains("dynamic") && !quant.raw["dynamic"].empty())
    why += "; `dynamic` rules must match all or none of q, k, v and of gate, up";
  if (quant.desc_act) why += "; desc_act keeps all scales on every rank";
  return {"vLLM", "yes", why};
}

Loaders gptq(const QuantConfig& quant, const std::optional<ModelSpec>& spec) {
  const bool transformers = quant.bits == 2 || quant.bits == 3 || quant.bits == 4 || quant.bits == 8;
  return {vllm_gptq(quant, spec),
          {"Transformers", transformers ? "yes" : "no", transformers ? "with the packages optimum and gptqmodel" : "GPTQConfig takes 2, 3, 4 and 8 bits"},
          {"llama.cpp", "no", quant.bits == 3 ? "its converter has no 3-bit GPTQ; use 'teeny convert --format gguf'" : "its converter unpacks to f16; 'teeny convert --format gguf' keeps control"},
          {"SGLang", quant.symmetric && (quant.bits == 4 || quant.bits == 8) ? "yes" : "partly", "not verified"}};
}

Loaders awq(const QuantConfig& quant, const std::optional<ModelSpec>& spec) {
  const bool usual = quant.bits == 4 && !quant.symmetric;
  return {{"vLLM", usual ? "yes" : "no", usual ? "Marlin kernels" + tensor_parallel_note(quant, spec) : "AWQ is loaded with 4 bits and zero points"},
          {"Transformers", usual ? "yes" : "no", usual ? "with the package gptqmodel" : "AWQ is loaded with 4 bits and zero points"},
          {"llama.cpp", "no", "use 'teeny convert --format gguf'"},
          {"SGLang", "yes", "not verified"}};
}

Loaders compressed_tensors(const QuantConfig& quant) {
  const bool w8a8 = quant.format == "int-quantized";
  return {{"vLLM", "yes", w8a8 ? "int8 kernels (cutlass)" : "Marlin kernels"},
          {"Transformers", "yes", "with compressed-tensors 0.15 or later"},
          {"llama.cpp", "no", w8a8 ? "use 'teeny convert --format gguf'" : "its converter unpacks to f16"},
          {"SGLang", "yes", ""}};
}

Loaders bitsandbytes() {
  return {{"vLLM", "yes", "today; RFC 39583 proposes to deprecate it"}, {"Transformers", "yes", "with the package bitsandbytes"}, {"llama.cpp", "no", "use 'teeny convert --format gguf'"}, {"SGLang", "partly", "not verified"}};
}

Loaders gguf() {
  return {{"llama.cpp", "yes", "native"}, {"vLLM", "partly", "only through the package vllm-gguf-plugin since v0.24"}, {"Transformers", "partly", "unpacks to full precision on load"}, {"SGLang", "partly", "not verified"}};
}

Loaders plain(const TensorSource& source) {
  if (source.config().is_null())
    return {{"vLLM", "no", "there is no config.json beside the file"}, {"Transformers", "no", "there is no config.json beside the file"}, {"llama.cpp", "no", "use 'teeny convert --format gguf'"}};
  return {{"vLLM", "yes", ""}, {"Transformers", "yes", ""}, {"llama.cpp", "no", "use 'teeny convert --format gguf'"}, {"SGLang", "yes", ""}};
}

}  // namespace

std::vector<Loader> judge_loaders(const TensorSource& source, const QuantConfig& quant, const std::optional<ModelSpec>& spec) {
  if (source.kind() == ContainerKind::Gguf) return gguf();
  if (quant.method == "gptq") return gptq(quant, spec);
  if (quant.method == "awq") return awq(quant, spec);
  if (quant.method == "compressed-tensors") return compressed_tensors(quant);
  if (quant.method == "bitsandbytes") return bitsandbytes();
  return plain(source);
}

}  // namespace teeny::cli
