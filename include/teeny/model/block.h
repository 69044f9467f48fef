// The plain forward pass of a decoder on libtorch: the oracle that faster paths are tested against, and what calibration
// runs. B sequences, T tokens, H hidden, heads x D, V vocabulary.
#pragma once
#include <array>
#include <functional>
#include <vector>

#include "teeny/family/spec.h"
#include "teeny/model/loader.h"

namespace teeny {

struct Linear {
  Tensor weight;  // (N, K), compute dtype
  Tensor bias;    // (N), or undefined
  int act_bits = 16;         // 8: the input is rounded to int8 first, as the checkpoint's runtimes do
  bool mixed = false;        // the weight is LLM.int8's; with act_bits 8 columns with outliers are not rounded
  double outliers_from = 6;  // with `mixed`: |x| that makes a column an outlier; 0: none is
  Tensor input_scale = {}, input_zero = {};  // (1) f32 with static activations; undefined: a scale per token
  Tensor operator()(const Tensor& x) const;  // (..., K) -> (..., N)
};

struct Block {
  Tensor attn_norm, mlp_norm;      // (H) f32
  Tensor q_norm, k_norm;           // (D) f32, Qwen3 only
  std::array<Linear, 7> linears;   // in the order of kLinears: q k v o gate up down
};

// cos and sin of every position below `positions`: (positions, D) f32, as rotate_half wants them.
struct Rope {
  Tensor cos, sin;
};
Rope make_rope(const ModelSpec& spec, int64_t positions, at::Device device);

// Keys and values of `slots` sequences of at most `capacity` tokens, per layer (slots * capacity, kv_heads * D).
struct KvCache {
  int64_t slots = 0, capacity = 0;
  std::vector<Tensor> k, v;
};
KvCache make_cache(const ModelSpec& spec, int64_t slots, int64_t capacity, at::TensorOptions options);

// What one call of the block attends to.
struct Attend {
  Tensor positions;        // (B, T) int64: rope positions of the new tokens
  KvCache* cache = nullptr;
  Tensor rows;             // (B * T) int64: rows of the cache that the new keys go to
  int64_t first_slot = 0;  // the B sequences use slots first_slot .. first_slot + B
  int64_t keys = 0;        // with a cache: attend to its first `keys` tokens of each slot
  Tensor mask;             // additive, broadcastable to (B, heads, T, keys), or undefined
  bool causal = true;      // without a mask: token t sees 0..t (needs T == keys)
};

// observer(input, x): x is the input that linears of that number (LinearSlot::input) share, (B, T, K). Returning false
// ends the pass there: what block_forward returns is then undefined.
using Observer = std::function<bool(int input, const Tensor& x)>;

// x (..., K) on the int8 grid that a runtime would multiply: round(x / scale + zero) in -128..127. Per token when `scale` is
// undefined: absmax / 127.5 of each row, as compressed-tensors computes it.
Tensor round_to_int8(const Tensor& x, const Tensor& scale, const Tensor& zero);
// LLM.int8's mixed decomposition (Dettmers et al., arXiv 2208.07339) of x (..., T, K): columns in which a token of the T has
// |x| >= outliers_from stay as they are, the rest is rounded per token by its absmax / 127. bitsandbytes looks for outliers
// over its whole batch; here each sequence is its own, so that a result does not depend on its neighbours.
Tensor round_but_outliers(const Tensor& x, double outliers_from);
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps);
// hidden (B, T, H) -> (B, T, H)
Tensor block_forward(const ModelSpec& spec, const Block& block, int64_t layer, const Tensor& hidden, const Rope& rope, const Attend& attend,
                     const Observer& observer = {});

// Its two halves: through attention and o_proj (inputs 0 and 1), and through the MLP from there (inputs 2 and 3).
Tensor attention_forward(const ModelSpec& spec, const Block& block, int64_t layer, const Tensor& hidden, const Rope& rope, const Attend& attend,
                         const Observer& observer = {});
Tensor mlp_forward(const ModelSpec& spec, const Block& block, const Tensor& hidden, const Observer& observer = {});

Linear load_linear(const WeightLoader& loader, const std::string& module, int64_t N, int64_t K, at::TensorOptions options);
Block load_block(const WeightLoader& loader, const ModelSpec& spec, int64_t layer, at::TensorOptions options);

}  // namespace teeny
