// What stands between the packed products of a decoder on the GPU: norms, rotary positions, the KV cache and attention,
// activations, the choice of a token. m rows (tokens), H hidden, D head dimension, kv = key and value heads, V vocabulary.
// The residual stream is f32, what products read is f16 (saturated, never infinite). Every function only launches.
#pragma once
#include <cstdint>

#include "teeny/kernels/packed_linear.h"

namespace teeny::cuda {

// x (m, H) = h * rsqrt(mean(h^2) + eps) * weight, h (m, H) f32, weight (H) f32. squares (m, square_pieces(H)),
// or null: gets sums of squares of h.
void rms_norm(const float* h, const float* weight, float eps, int64_t m, int64_t H, const Activations& x, cudaStream_t stream, float* squares = nullptr);

// h (m, H) f32 = row token[i] of the embedding, packed or (values, not null) f16 (V, H).
void embed(const PackedView* packed, const void* values, const int32_t* token, int64_t m, int64_t H, float* h, cudaStream_t stream);

// out (m, K) = x rounded to int8 as W8A8 runtimes do; per token, or with static scale (1) f32 and zero (1) f32 or null. out may be x.
void round_to_int8(const Activations& x, const Activations& out, int64_t m, int64_t K, const float* scale, const float* zero, cudaStream_t stream);

// The same for an int8 product of many tokens: out (T, K) int8 and scale (T) f32, x (T, ld) f16; `given`: a static scale (1),
// or null. K and T as in a product; then unpack_int8(): out (rows, K) int8, the codes minus 128 of every tile_stride-th tile
// from tile0 on; then finish_int8(): sums (T, N) int32 times both scales plus bias (N, or null) to out (T, ld), f16 or f32
// (`add`: added to what is there).
void tokens_to_int8(const void* x, int64_t ld, int64_t T, int64_t K, const float* given, int8_t* out, float* scale, cudaStream_t stream);
bool unpacks_to_int8(const PackedLayout& layout);
void unpack_int8(const PackedView& weight, int64_t rows, int64_t tile0, int64_t tile_stride, int8_t* out, cudaStream_t stream);
void finish_int8(const int32_t* sums, int64_t T, int64_t N, const float* token_scale, const float* row_scale, const float* bias, bool is_float, bool add, void* out, int64_t ld,
                 cudaStream_t stream);

// out (m, I) = silu(gate) * up; gate_up (m, ldg) f16 or f32: gate in columns 0 .. I, up in columns I .. 2 I.
void silu_multiply(const void* gate_up, bool is_float, int64_t ldg, int64_t m, int64_t I, const Activations& out, cudaStream_t stream);

struct HeadShape {
  int heads = 0, kv = 0, D = 0;
  float eps = 0;                  // of the head norms
  const float* q_norm = nullptr;  // (D) f32 or null
  const float* k_norm = nullptr;
  const float* cos = nullptr;     // (positions, D) f32
  const float* sin = nullptr;
};
// Head dimensions that attend() and rope_and_cache() have kernels for.
bool attention_supports(int heads, int kv, int D);

// One new token for each of m sequences: qkv (m, ld) f32 holds q, k, v. Norms and rotates q and k at position[i], appends k
// and v to slot[i], attends to positions 0 .. position[i]; x (m, heads * D). Work is split over the sequence in `splits`
// pieces; scratch: attend_scratch_bytes() of the largest call that uses it, zeroed once.
void attend(const HeadShape& shape, const float* qkv, int64_t ld, const int32_t* position, const int32_t* slot, int m, const Cache& cache, int splits, void* scratch,
            const Activations& x, cudaStream_t stream);
size_t attend_scratch_bytes(int heads, int D, int m, int splits);

// Many tokens at once (prefill): qkv (T, ld) f16, ld a multiple of 8; bias (ld) f32, added first, or null. q (T, heads * D) f16
// gets the rotated q; k and v go to row[i] of the cache.
void rope_and_cache(const HeadShape& shape, const void* qkv, int64_t ld, const float* bias, const int32_t* position, const int32_t* row, int64_t T, const Cache& cache, void* q,
                    cudaStream_t stream);

// next[i] = argmax of logits (m, V) f32, the lowest index of equals; then position[i] += 1. history (null: none) gets next at
// history[step * m + i], step counted in *step. scratch: pick_scratch_bytes(m), zeroed once.
void pick_greedy(const float* logits, int64_t V, int m, int32_t* next, int32_t* position, int32_t* history, int32_t* step, void* scratch, cudaStream_t stream);
size_t pick_scratch_bytes(int m);

}  // namespace teeny::cuda
