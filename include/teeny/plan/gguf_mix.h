// Which GGML type each tensor of a GGUF file gets under a file type such as Q4_K_M: llama-quantize's choice, tensor for
// tensor (formats.md section 8).
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/core/dtype.h"

namespace teeny {

struct GgufFileType {
  std::string_view name;          // as users type it: "Q4_K_M"
  int number;                     // general.file_type
  DType dtype;                    // of a tensor that no rule singles out
  bool needs_importance = false;  // llama.cpp refuses to make it without
};
std::span<const GgufFileType> gguf_file_types();
const GgufFileType& gguf_file_type(std::string_view name);  // Usage error listing the names; case does not matter

struct MixModel {
  std::string arch;  // general.architecture: "qwen2", "llama", "qwen3"
  int64_t layers = 0, heads = 0, kv_heads = 0;
  int64_t experts = 0;
};
struct MixTensor {
  std::string name;            // GGUF's: "blk.0.attn_q.weight"
  std::vector<int64_t> shape;  // (N, K); torch order
};
struct MixChoice {
  DType dtype = DType::F32;
  DType wanted = DType::F32;  // before the fallback for a row length that `wanted` cannot hold; differs: tell the user
};

// One choice a tensor, in the order given (the order itself does not matter). A list without "output.weight" is a model
// with a tied head. Tensors that are never quantized (norms, biases, routers) come back as F32.
std::vector<MixChoice> gguf_type_mix(const GgufFileType& type, const MixModel& model, const std::vector<MixTensor>& tensors, bool has_importance);

// The nearest type whose blocks fit a row of K weights: llama.cpp's fallbacks, F16 when K is not a multiple of 32.
DType gguf_fallback(DType dtype, int64_t K);

}  // namespace teeny
