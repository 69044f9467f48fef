// Qwen3 dense: an RMS norm on each head of q and k, head_dim independent of hidden / heads (HF modeling_qwen3.py).
#include "family/family.h"

namespace teeny {
const Family kQwen3 = {
    .name = "qwen3",
    .hf_class = "Qwen3ForCausalLM",
    .gguf_arch = "qwen3",
    .qk_norm = true,
    .bias = Bias::AttentionKey,
    .window = Window::Flag,
    .default_head_dim = 128,
};
}  // namespace teeny
