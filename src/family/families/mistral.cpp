// Mistral 7B and its descendants. Inside a window as long as the text, sliding attention is full attention: the context is
// capped at the window instead (HF modeling_mistral.py).
#include "family/family.h"

namespace teeny {
const Family kMistral = {
    .name = "mistral",
    .hf_class = "MistralForCausalLM",
    .gguf_arch = "llama",
    .permuted_qk = true,
    .window = Window::CapsContext,
};
}  // namespace teeny
