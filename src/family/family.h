// One model family as data. Everything that differs between families stands in these fields; see families/*.cpp.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/family/spec.h"

namespace teeny {

enum class Bias { Never, Qkv, AttentionKey };  // Qkv: always on q, k, v; AttentionKey: config's attention_bias, on q, k, v, o
enum class Window { None, Flag, CapsContext };  // sliding_window: unknown; on with use_sliding_window; on when not null

struct Family {
  const char* name;       // also model_type in config.json
  const char* hf_class;   // in config.json:architectures
  const char* gguf_arch;  // general.architecture
  bool permuted_qk = false;
  bool qk_norm = false;
  Bias bias = Bias::Never;
  bool mlp_bias_key = false;
  Window window = Window::None;
  int64_t default_head_dim = 0;  // 0: hidden / heads
  bool kv_heads_required = true;  // false: as many as heads when absent
};

extern const Family kLlama, kMistral, kQwen2, kQwen3;
std::span<const Family* const> all_families();

// Sizes beyond these are a corrupt or hostile file.
inline constexpr int64_t kMaxLayers = 1024, kMaxHidden = 1 << 20, kMaxIntermediate = 1 << 22, kMaxVocab = 1 << 22, kMaxHeads = 1 << 14,
                         kMaxHeadDim = 1 << 14, kMaxContext = 1 << 30;

ModelSpec read_hf_spec(const TensorSource& source);
ModelSpec read_gguf_spec(const TensorSource& source);
// What holds for a spec from either container: heads divide, an even head_dim, sane numbers. Throws Input.
void check_spec(const ModelSpec& spec, std::string_view where, std::string_view subject);
// Factors by which llama3 scaling divides each rotary frequency, head_dim / 2 of them.
std::vector<float> llama3_factors(const RopeScaling& scaling, double theta, int64_t head_dim);

// The directory whose config.json, tokenizer.json ... belong to this source; empty for GGUF.
std::string companion_directory(const TensorSource& source);

}  // namespace teeny
