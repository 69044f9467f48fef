// Attention of one new token a sequence over its cache, split along the sequence, for grouped queries; and rotary
// positions for prefill. Softmax runs online in f32; pieces are joined in their order, so results do not vary.
#include <algorithm>
#include <cfloat>

#include "kernels/cuda/linear_small.cuh"
#include "teeny/kernels/decode_step.h"

namespace teeny::cuda {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * 32, kPass = kWarps * 8;  // keys a block takes at a time: 8 a warp
constexpr int kLeast = 2 * kPass;                                      // keys below which a second block costs more than it saves
constexpr int kMaxGroup = 8;                                           // query heads that share a key head
constexpr int kMaxKeyHeads = 64, kMaxSplits = 32;
// Counters of finished pieces come first in the scratch, at places that do not depend on m: whatever a call with another m
// left behind them, they are 0 between calls.
constexpr size_t kCounterBytes = size_t(kMaxTokens) * kMaxKeyHeads * 4;

struct AttendCall {
  HeadShape shape;
  const float* qkv;
  int64_t ld;
  const int32_t *position, *slot;
  Cache cache;
  int splits;
  float* parts;          // (m, kv) times: (splits, G, D) sums, then (splits, G, 4): largest score, sum of weights
  unsigned int* arrived; // (m, kv)
  Activations x;
};

// Norm and rotation of one head vector of D f32 in shared memory, by one warp.
__device__ void norm_and_rotate(float* v, int D, const float* weight, float eps, const float* cos, const float* sin) {
  const int lane = threadIdx.x & 31, half = D / 2;
  if (weight) {
    float sum = 0;
    for (int i = lane; i < D; i += 32) sum += v[i] * v[i];
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) sum += __shfl_xor_sync(~0u, sum, d);
    const float scale = rsqrtf(sum / float(D) + eps);
    __syncwarp();
    for (int i = lane; i < D; i += 32) v[i] *= scale * weight[i];
    __syncwarp();
  }
  for (int i = lane; i < half; i += 32) {
    const float a = v[i], b = v[i + half];
    v[i] = a * cos[i] - b * sin[i];
    v[i + half] = b * cos[i + half] + a * sin[i + half];
  }
  __syncwarp();
}

// The VD f16 of one lane, in as few loads as their number allows.
template <int VD>
__device__ __forceinline__ void load_columns(const __half* from, __half (&v)[VD]) {
  if constexpr (VD == 8) *reinterpret_cast<uint4*>(v) = __ldcg(reinterpret_cast<const uint4*>(from));
  else if constexpr (VD == 4) *reinterpret_cast<uint2*>(v) = __ldcg(reinterpret_cast<const uint2*>(from));
  else if constexpr (VD == 2) *reinterpret_cast<uint32_t*>(v) = __ldcg(reinterpret_cast<const uint32_t*>(from));
  else
#pragma unroll
    for (int i = 0; i < VD; ++i) v[i] = __ldcg(from + i);
}

// D = 32 * VD. G <= 8 query heads share a key head.
template <int VD>
__global__ void __launch_bounds__(kThreads) attend_kernel(const AttendCall c) {
  constexpr int D = 32 * VD;
  dependency_release();
  dependency_wait();
  const int kv_head = blockIdx.x, split = blockIdx.y, row = blockIdx.z, kv = c.shape.kv, G = c.shape.heads / kv;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const int position = c.position[row], length = position + 1;
  const int piece = max(kLeast, ((length + c.splits - 1) / c.splits + kPass - 1) / kPass * kPass), pieces = (length + piece - 1) / piece;
  if (split >= pieces) return;
  const int begin = split * piece, end = min(length, begin + piece);
  __shared__ __align__(16) float q[kMaxGroup][D];
  __shared__ __align__(16) float fresh[2][D];
  __shared__ __align__(16) float weights[kWarps][8][kMaxGroup];
  __shared__ float joined[kWarps][kMaxGroup][2];
  extern __shared__ __align__(16) float outputs[];  // (kWarps, G, D)
  const float* in = c.qkv + row * c.ld;
  const float* cos = c.shape.cos + int64_t(position) * D;
  const float* sin = c.shape.sin + int64_t(position) * D;
  const int64_t cache_ld = int64_t(kv) * D, cache_row = int64_t(c.slot[row]) * c.cache.capacity;
  __half* keys = static_cast<__half*>(c.cache.k) + cache_row * cache_ld + kv_head * D;
  __half* values = static_cast<__half*>(c.cache.v) + cache_row * cache_ld + kv_head * D;
  // The first keys and values of each warp are on their way while the heads are rotated.
  for (int at = lane; at < 16 * D / 64; at += 32) {
    const int key = begin + warp * 8 + at % 8, line = at / 8;  // lines of 64 f16; keys first, then values
    const __half* from = (line < D / 64 ? keys : values) + key * cache_ld + line % (D / 64) * 64;
    if (key < end - 1) asm volatile("prefetch.global.L2 [%0];" ::"l"(from));
  }
  const float scale = rsqrtf(float(D)) * 1.4426950408889634f;  // scores in powers of two
  for (int h = warp; h < G; h += kWarps) {
    for (int i = lane; i < D; i += 32) q[h][i] = in[(kv_head * G + h) * D + i];
    __syncwarp();
    norm_and_rotate(q[h], D, c.shape.q_norm, c.shape.eps, cos, sin);
    for (int i = lane; i < D; i += 32) q[h][i] *= scale;
  }
  if (end == length && warp == kWarps - 1) {  // this block holds the new key
    for (int i = lane; i < D; i += 32) fresh[0][i] = in[(c.shape.heads + kv_head) * D + i], fresh[1][i] = in[(c.shape.heads + kv + kv_head) * D + i];
    __syncwarp();
    norm_and_rotate(fresh[0], D, c.shape.k_norm, c.shape.eps, cos, sin);
    for (int i = lane; i < D; i += 32) {
      keys[position * cache_ld + i] = saturated_half(fresh[0][i]);
      values[position * cache_ld + i] = saturated_half(fresh[1][i]);
    }
  }
  __syncthreads();

  float best[kMaxGroup], sum[kMaxGroup], out[kMaxGroup][VD];
#pragma unroll
  for (int h = 0; h < kMaxGroup; ++h) {
    best[h] = -FLT_MAX, sum[h] = 0;
#pragma unroll
    for (int i = 0; i < VD; ++i) out[h][i] = 0;
  }
  const int t = lane & 3;
  for (int first = begin + warp * 8; first < end; first += kPass) {
    const int key = first + (lane >> 2);
    float score[kMaxGroup];
#pragma unroll
    for (int h = 0; h < kMaxGroup; ++h) score[h] = 0;
    uint4 k[VD];
#pragma unroll
    for (int i = 0; i < VD; ++i) k[i] = key < end ? __ldcg(reinterpret_cast<const uint4*>(keys + key * cache_ld + 8 * (4 * i + t))) : make_uint4(0, 0, 0, 0);
    alignas(16) __half v[8][VD];  // the lane's columns of the 8 values; those beyond the end are read again, with weight 0
#pragma unroll
    for (int j = 0; j < 8; ++j) load_columns<VD>(values + min(first + j, end - 1) * cache_ld + lane * VD, v[j]);
#pragma unroll
    for (int i = 0; i < VD; ++i) {
      const auto* two = reinterpret_cast<const __half2*>(&k[i]);
      float f[8];
#pragma unroll
      for (int p = 0; p < 4; ++p) {
        const float2 pair = __half22float2(two[p]);
        f[2 * p] = pair.x, f[2 * p + 1] = pair.y;
      }
#pragma unroll
      for (int h = 0; h < kMaxGroup; ++h) {
        if (h >= G) break;
        const auto* qh = reinterpret_cast<const float4*>(&q[h][8 * (4 * i + t)]);
        const float4 a = qh[0], b = qh[1];
        score[h] += a.x * f[0] + a.y * f[1] + a.z * f[2] + a.w * f[3] + b.x * f[4] + b.y * f[5] + b.z * f[6] + b.w * f[7];
      }
    }
#pragma unroll
    for (int h = 0; h < kMaxGroup; ++h) {
      if (h >= G) break;
      score[h] += __shfl_xor_sync(~0u, score[h], 1);
      score[h] += __shfl_xor_sync(~0u, score[h], 2);
      if (key >= end) score[h] = -FLT_MAX;
      float top = score[h];
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 4));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 8));
      top = fmaxf(top, __shfl_xor_sync(~0u, top, 16));
      const float now = fmaxf(best[h], top), shrink = exp2f(best[h] - now), weight = key < end ? exp2f(score[h] - now) : 0.0f;
      best[h] = now;
      sum[h] = sum[h] * shrink + weight;  // of the lane's keys; the four lanes of a key have the same
#pragma unroll
      for (int i = 0; i < VD; ++i) out[h][i] *= shrink;
      if (t == 0) weights[warp][lane >> 2][h] = weight;
    }
    __syncwarp();
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      float f[VD];
#pragma unroll
      for (int i = 0; i < VD; ++i) f[i] = __half2float(v[j][i]);
#pragma unroll
      for (int h = 0; h < kMaxGroup; ++h) {
        if (h >= G) break;
        const float weight = weights[warp][j][h];
#pragma unroll
        for (int i = 0; i < VD; ++i) out[h][i] += weight * f[i];
      }
    }
    __syncwarp();
  }
#pragma unroll
  for (int h = 0; h < kMaxGroup; ++h) {
    if (h >= G) break;
#pragma unroll
    for (int d = 4; d <= 16; d <<= 1) sum[h] += __shfl_xor_sync(~0u, sum[h], d);
    if (lane == 0) joined[warp][h][0] = best[h], joined[warp][h][1] = sum[h];
#pragma unroll
    for (int i = 0; i < VD; ++i) outputs[(warp * G + h) * D + lane * VD + i] = out[h][i];
  }
  __syncthreads();
  float* parts = c.parts + (int64_t(row) * kv + kv_head) * c.splits * G * (D + 4);
  float2* stats = reinterpret_cast<float2*>(parts + int64_t(c.splits) * G * D);
  for (int at = threadIdx.x; at < G * D; at += kThreads) {
    const int h = at / D, i = at % D;
    float top = -FLT_MAX, total = 0, value = 0;
#pragma unroll
    for (int k = 0; k < kWarps; ++k) top = fmaxf(top, joined[k][h][0]);
#pragma unroll
    for (int k = 0; k < kWarps; ++k) {
      const float shrink = exp2f(joined[k][h][0] - top);
      total += joined[k][h][1] * shrink;
      value += outputs[(k * G + h) * D + i] * shrink;
    }
    if (pieces == 1) {
      static_cast<__half*>(c.x.data)[activation_at(c.x, row, (kv_head * G + h) * D + i)] = saturated_half(value / total);
    } else {
      parts[(split * G + h) * D + i] = value;
      if (i == 0) stats[2 * (split * G + h)] = make_float2(top, total);
    }
  }
  if (pieces == 1) return;
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicAdd(&c.arrived[row * kv + kv_head], 1u) == unsigned(pieces - 1);
  __syncthreads();
  if (!last) return;
  __threadfence();
  if (threadIdx.x == 0) c.arrived[row * kv + kv_head] = 0;
  // A warp a head finds what each piece counts; then a thread adds four columns, its loads in flight together.
  __shared__ float counts[kMaxGroup][kMaxSplits];
  if (warp < G) {
    const float2 stat = lane < pieces ? __ldcg(stats + 2 * (lane * G + warp)) : make_float2(-FLT_MAX, 0);
    float top = stat.x;
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) top = fmaxf(top, __shfl_xor_sync(~0u, top, d));
    const float shrink = exp2f(stat.x - top);
    float total = stat.y * shrink;
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) total += __shfl_xor_sync(~0u, total, d);
    counts[warp][lane] = shrink / total;
  }
  __syncthreads();
  const auto* sums = reinterpret_cast<const float4*>(parts);
  for (int at = threadIdx.x; at < G * D / 4; at += kThreads) {
    const int h = at / (D / 4), i = at % (D / 4) * 4;
    float4 value = make_float4(0, 0, 0, 0);
#pragma unroll
    for (int first = 0; first < kMaxSplits; first += 16) {
      if (first >= pieces) break;
      float4 part[16];
#pragma unroll
      for (int p = 0; p < 16; ++p)
        part[p] = first + p < pieces ? __ldcg(sums + (first + p) * (G * D / 4) + at) : make_float4(0, 0, 0, 0);
#pragma unroll
      for (int p = 0; p < 16; ++p) {
        const float count = counts[h][first + p];
        value.x += part[p].x * count, value.y += part[p].y * count, value.z += part[p].z * count, value.w += part[p].w * count;
      }
    }
    const __half out[4] = {saturated_half(value.x), saturated_half(value.y), saturated_half(value.z), saturated_half(value.w)};
    *reinterpret_cast<uint2*>(static_cast<__half*>(c.x.data) + activation_at(c.x, row, (kv_head * G + h) * D + i)) = *reinterpret_cast<const uint2*>(out);
  }
}

struct RopeCall {
  HeadShape shape;
  const __half* qkv;
  int64_t ld;
  const int32_t *position, *row;
  Cache cache;
  __half* q;
};

// A warp a head of a token: q heads, then k, then v.
__global__ void __launch_bounds__(256) rope_kernel(const RopeCall c) {
  extern __shared__ __align__(16) float heads[];
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, D = c.shape.D, all = c.shape.heads + 2 * c.shape.kv;
  const int64_t token = blockIdx.y;
  const int head = int(blockIdx.x) * 8 + warp;
  if (head >= all) return;
  float* v = heads + warp * D;
  for (int i = lane; i < D; i += 32) v[i] = __half2float(c.qkv[token * c.ld + int64_t(head) * D + i]);
  __syncwarp();
  const bool is_q = head < c.shape.heads, is_k = !is_q && head < c.shape.heads + c.shape.kv;
  const int64_t at = int64_t(c.position[token]) * D;
  if (is_q || is_k) norm_and_rotate(v, D, is_q ? c.shape.q_norm : c.shape.k_norm, c.shape.eps, c.shape.cos + at, c.shape.sin + at);
  const int64_t cache_at = int64_t(c.row[token]) * c.shape.kv * D;
  __half* out = is_q ? c.q + (token * c.shape.heads + head) * D
                     : is_k ? static_cast<__half*>(c.cache.k) + cache_at + (head - c.shape.heads) * D : static_cast<__half*>(c.cache.v) + cache_at + (head - c.shape.heads - c.shape.kv) * D;
  for (int i = lane; i < D; i += 32) out[i] = saturated_half(v[i]);
}

template <int VD>
void attend_with(const AttendCall& c, int m, cudaStream_t stream) {
  const size_t bytes = size_t(kWarps) * size_t(c.shape.heads / c.shape.kv) * 32 * VD * 4;
  static const bool allowed = (allow_shared(attend_kernel<VD>, kWarps * kMaxGroup * 32 * VD * 4), true);
  (void)allowed;
  launch(attend_kernel<VD>, {dim3(unsigned(c.shape.kv), unsigned(c.splits), unsigned(m)), dim3(kThreads), bytes, stream, true}, c);
}

size_t parts_floats(int heads, int D, int m, int splits) { return size_t(m) * size_t(splits) * size_t(heads) * size_t(D + 4); }

}  // namespace

bool attention_supports(int heads, int kv, int D) { return (D == 64 || D == 96 || D == 128 || D == 256) && kv > 0 && kv <= kMaxKeyHeads && heads % kv == 0 && heads / kv <= kMaxGroup; }

size_t attend_scratch_bytes(int heads, int D, int m, int splits) { return kCounterBytes + parts_floats(heads, D, m, splits) * 4; }

void attend(const HeadShape& shape, const float* qkv, int64_t ld, const int32_t* position, const int32_t* slot, int m, const Cache& cache, int splits, void* scratch,
            const Activations& x, cudaStream_t stream) {
  if (m > kMaxTokens) refuse("tokens of an attention step out of range");
  if (splits < 1 || splits > kMaxSplits) refuse("pieces of an attention step out of range");
  auto* counters = static_cast<unsigned int*>(scratch);
  const AttendCall call{shape, qkv, ld, position, slot, cache, splits, reinterpret_cast<float*>(static_cast<char*>(scratch) + kCounterBytes), counters, x};
  switch (shape.D) {
    case 64: return attend_with<2>(call, m, stream);
    case 96: return attend_with<3>(call, m, stream);
    case 128: return attend_with<4>(call, m, stream);
    case 256: return attend_with<8>(call, m, stream);
    default: refuse("no attention kernel for this head dimension");
  }
}

void rope_and_cache(const HeadShape& shape, const void* qkv, int64_t ld, const int32_t* position, const int32_t* row, int64_t T, const Cache& cache, void* q,
                    cudaStream_t stream) {
  const RopeCall call{shape, static_cast<const __half*>(qkv), ld, position, row, cache, static_cast<__half*>(q)};
  const int all = shape.heads + 2 * shape.kv;
  launch(rope_kernel, {dim3(unsigned((all + 7) / 8), unsigned(T)), dim3(256), size_t(8 * shape.D * 4), stream, false}, call);
}

}  // namespace teeny::cuda
