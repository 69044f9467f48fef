#include "plan/runtimes.h"

namespace teeny {
namespace {

std::string vllm(const Plan& plan) {
  if (plan.format == "gguf") return "no: only through the vllm-gguf-plugin";
  if (plan.format.starts_with("gptq") && !plan.symmetric) return "no: asymmetric GPTQ is refused (PR 38288); use awq";
  if (plan.format.starts_with("gptq") && plan.bits != 4 && plan.bits != 8) return "no: GPTQ below 4 bits is refused (PR 38288)";
  if (plan.format == "awq" && plan.symmetric) return "no: AWQ without zero points is poorly supported; pass --asym";
  return "yes";
}

std::string transformers(const Plan& plan) {
  if (plan.format == "gptq" || plan.format == "gptq-v2" || plan.format == "awq") return "yes: with optimum and gptqmodel";
  if (plan.format == "bitsandbytes") return "yes: with bitsandbytes";
  if (plan.format == "gguf") return "yes: dequantized on load";
  return "yes";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> runtimes_of(const Plan& plan) {
  return {{"teeny", "yes"},
          {"vllm", vllm(plan)},
          {"transformers", transformers(plan)},
          {"llama.cpp", plan.format == "gguf" ? "yes" : "no: GGUF only; use `teeny convert --format gguf`"}};
}

}  // namespace teeny
