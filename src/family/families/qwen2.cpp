// Qwen2 and Qwen2.5: biases on q, k, v; rotary halves, so GGUF rows are not permuted (HF modeling_qwen2.py).
#include "family/family.h"

namespace teeny {
const Family kQwen2 = {
    .name = "qwen2",
    .hf_class = "Qwen2ForCausalLM",
    .gguf_arch = "qwen2",
    .bias = Bias::Qkv,
    .window = Window::Flag,
};
}  // namespace teeny
