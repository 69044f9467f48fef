// Llama 2, 3.x and everything that calls itself LlamaForCausalLM (HF modeling_llama.py).
#include "family/family.h"

namespace teeny {
const Family kLlama = {
    .name = "llama",
    .hf_class = "LlamaForCausalLM",
    .gguf_arch = "llama",
    .permuted_qk = true,
    .bias = Bias::AttentionKey,
    .mlp_bias_key = true,
    .kv_heads_required = false,
};
}  // namespace teeny
