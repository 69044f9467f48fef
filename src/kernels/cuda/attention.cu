// Attention of one new token a sequence over its cache, split along the sequence, for grouped queries; and rotary
// positions for prefill. Softmax runs online in f32; pieces are joined in their order, so results do not vary.
#include <algorithm>
#include <cfloat>

#include "kernels/cuda/linear_small.cuh"
#include "teeny/kernels/decode_step.h"

namespace teeny::cuda {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * 32, kKeys = 16, kPass = kWarps * kKeys;  // keys a warp and a block take at a time
constexpr int kLeast = kPass;                                          // keys below which a second block costs more than it saves
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

template <int VD>
__device__ __forceinline__ void store_columns(__half* to, const __half (&v)[VD]) {
  if constexpr (VD == 8) *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(v);
  else if constexpr (VD == 4) *reinterpret_cast<uint2*>(to) = *reinterpret_cast<const uint2*>(v);
  else if constexpr (VD == 2) *reinterpret_cast<uint32_t*>(to) = *reinterpret_cast<const uint32_t*>(v);
  else
#pragma unroll
    for (int i = 0; i < VD; ++i) to[i] = v[i];
}

// N f16, a multiple of 4, as words.
template <int N>
__device__ __forceinline__ void load_words(const __half* from, uint32_t (&v)[N / 2]) {
  if constexpr (N % 8 == 0)
#pragma unroll
    for (int i = 0; i < N / 8; ++i) *reinterpret_cast<uint4*>(v + 4 * i) = __ldcg(reinterpret_cast<const uint4*>(from) + i);
  else
#pragma unroll
    for (int i = 0; i < N / 4; ++i) *reinterpret_cast<uint2*>(v + 2 * i) = __ldcg(reinterpret_cast<const uint2*>(from) + i);
}
__device__ __forceinline__ uint32_t two_halves(float a, float b) {
  const __half2 both = __halves2half2(saturated_half(a), saturated_half(b));
  return *reinterpret_cast<const uint32_t*>(&both);
}
// An 8 x 8 matrix of f16, a row in the two values of four lanes each, becomes its transpose.
__device__ __forceinline__ uint32_t transposed(uint32_t v) {
  uint32_t out;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(out) : "r"(v));
  return out;
}

// D = 32 * VD. G <= 8 query heads share a key head: they are the columns of products of keys and of values with 16 keys at a
// time (K q^T, then V^T p^T), so that neither has to be turned round. Which dimension stands where is free: a lane of place
// (g, t) = (lane / 4, lane % 4) holds dimensions 32 i + 8 t .. + 8 of keys g and g + 8, and D / 8 dimensions from D / 8 * g on of
// the values 2 t, 2 t + 1, 2 t + 8, 2 t + 9.
template <int VD>
__global__ void __launch_bounds__(kThreads, VD <= 4 ? 2 : 1) attend_kernel(const AttendCall c) {
  constexpr int D = 32 * VD, kTiles = D / 16;
  dependency_release();
  dependency_wait();
  const int kv_head = blockIdx.x, split = blockIdx.y, row = blockIdx.z, kv = c.shape.kv, G = c.shape.heads / kv;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  const float* in = c.qkv + row * c.ld;
  float own[VD];  // of head `warp`: on its way while the position is
#pragma unroll
  for (int i = 0; i < VD; ++i) own[i] = warp < G ? in[(kv_head * G + warp) * D + lane + 32 * i] : 0;
  float own_k[VD], own_v[VD];  // the new key and value
#pragma unroll
  for (int i = 0; i < VD; ++i) {
    own_k[i] = warp == kWarps - 1 ? in[(c.shape.heads + kv_head) * D + lane + 32 * i] : 0;
    own_v[i] = warp == kWarps - 1 ? in[(c.shape.heads + kv + kv_head) * D + lane + 32 * i] : 0;
  }
  const int position = c.position[row], length = position + 1;
  const int piece = max(kLeast, ((length + c.splits - 1) / c.splits + kPass - 1) / kPass * kPass), pieces = (length + piece - 1) / piece;
  if (split >= pieces) return;
  const int begin = split * piece, end = min(length, begin + piece);
  __shared__ __align__(16) float q[kMaxGroup][D];
  __shared__ __align__(16) float fresh[D];
  __shared__ float joined[kWarps][kMaxGroup][2];
  // (kWarps, G, D + 8): of a head, value 2 (8 j + g) + r is of dimension D / 8 g + 2 j + r. So neighbouring lanes write side by side.
  extern __shared__ __align__(16) float outputs[];
  constexpr int kRow = D + 8;
  const auto dimension = [](int at) { return D / 8 * (at / 2 % 8) + 2 * (at / 16) + at % 2; };
  const float* cos = c.shape.cos + int64_t(position) * D;
  const float* sin = c.shape.sin + int64_t(position) * D;
  const int64_t cache_ld = int64_t(kv) * D, cache_row = int64_t(c.slot[row]) * c.cache.capacity;
  __half* keys = static_cast<__half*>(c.cache.k) + cache_row * cache_ld + kv_head * D;
  __half* values = static_cast<__half*>(c.cache.v) + cache_row * cache_ld + kv_head * D;
  // The first keys and values of each warp are on their way while the heads are rotated.
  for (int at = lane; at < 2 * kKeys * D / 64; at += 32) {
    const int key = begin + warp * kKeys + at % kKeys, line = at / kKeys;  // lines of 64 f16; keys first, then values
    const __half* from = (line < D / 64 ? keys : values) + key * cache_ld + line % (D / 64) * 64;
    if (key < end - 1) asm volatile("prefetch.global.L2 [%0];" ::"l"(from));
  }
  static_assert(kWarps >= kMaxGroup);
  if (warp < G) {
#pragma unroll
    for (int i = 0; i < VD; ++i) q[warp][lane + 32 * i] = own[i];
    __syncwarp();
    norm_and_rotate(q[warp], D, c.shape.q_norm, c.shape.eps, cos, sin);
  }
  if (end == length && warp == kWarps - 1) {  // this block holds the new key
#pragma unroll
    for (int i = 0; i < VD; ++i) fresh[lane + 32 * i] = own_k[i], values[position * cache_ld + lane + 32 * i] = saturated_half(own_v[i]);
    __syncwarp();
    norm_and_rotate(fresh, D, c.shape.k_norm, c.shape.eps, cos, sin);
    for (int i = lane; i < D; i += 32) keys[position * cache_ld + i] = saturated_half(fresh[i]);
  }
  __syncthreads();

  uint2 heads[2 * VD];  // of head g
#pragma unroll
  for (int i = 0; i < 2 * VD; ++i) {
    const float* from = &q[g < G ? g : 0][32 * (i / 2) + 8 * t + 4 * (i % 2)];
    heads[i] = g < G ? make_uint2(two_halves(from[0], from[1]), two_halves(from[2], from[3])) : make_uint2(0, 0);
  }
  const float scale = rsqrtf(float(D)) * 1.4426950408889634f;  // scores in powers of two
  float best[2] = {-FLT_MAX, -FLT_MAX}, sum[2] = {0, 0}, out[kTiles][4];  // of heads 2 t and 2 t + 1
#pragma unroll
  for (int j = 0; j < kTiles; ++j) out[j][0] = out[j][1] = out[j][2] = out[j][3] = 0;
  for (int first = begin + warp * kKeys; first < end; first += kPass) {
    uint32_t k[2][4 * VD], v[4][D / 16];  // keys beyond the end are the last again, with weight 0
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const __half* from = keys + min(first + g + 8 * r, end - 1) * cache_ld + 8 * t;
#pragma unroll
      for (int i = 0; i < VD; ++i) *reinterpret_cast<uint4*>(&k[r][4 * i]) = __ldcg(reinterpret_cast<const uint4*>(from + 32 * i));
    }
#pragma unroll
    for (int r = 0; r < 4; ++r) load_words<D / 8>(values + min(first + 2 * t + (r & 1) + 8 * (r >> 1), end - 1) * cache_ld + D / 8 * g, v[r]);
    float score[4] = {0, 0, 0, 0};  // key g: heads 2 t, 2 t + 1; key g + 8: the same
#pragma unroll
    for (int i = 0; i < 2 * VD; ++i) multiply(score, k[0][2 * i], k[1][2 * i], k[0][2 * i + 1], k[1][2 * i + 1], heads[i]);
    float weight[4];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      score[i] = first + g < end ? score[i] * scale : -FLT_MAX;
      score[i + 2] = first + g + 8 < end ? score[i + 2] * scale : -FLT_MAX;
      float top = fmaxf(score[i], score[i + 2]);
#pragma unroll
      for (int d = 4; d <= 16; d <<= 1) top = fmaxf(top, __shfl_xor_sync(~0u, top, d));
      const float now = fmaxf(best[i], top), shrink = exp2f(best[i] - now);
      best[i] = now;
      weight[i] = first + g < end ? exp2f(score[i] - now) : 0.0f;
      weight[i + 2] = first + g + 8 < end ? exp2f(score[i + 2] - now) : 0.0f;
      sum[i] = sum[i] * shrink + weight[i] + weight[i + 2];  // of the lane's keys
#pragma unroll
      for (int j = 0; j < kTiles; ++j) out[j][i] *= shrink, out[j][i + 2] *= shrink;
    }
    const uint2 weights = make_uint2(transposed(two_halves(weight[0], weight[1])), transposed(two_halves(weight[2], weight[3])));
#pragma unroll
    for (int j = 0; j < kTiles; ++j)  // dimensions D / 8 g + 2 j, and the next
      multiply(out[j], __byte_perm(v[0][j], v[1][j], 0x5410), __byte_perm(v[0][j], v[1][j], 0x7632), __byte_perm(v[2][j], v[3][j], 0x5410), __byte_perm(v[2][j], v[3][j], 0x7632),
               weights);
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int h = 2 * t + i;
#pragma unroll
    for (int d = 4; d <= 16; d <<= 1) sum[i] += __shfl_xor_sync(~0u, sum[i], d);
    if (h >= G) continue;
    if (g == 0) joined[warp][h][0] = best[i], joined[warp][h][1] = sum[i];
#pragma unroll
    for (int j = 0; j < kTiles; ++j) *reinterpret_cast<float2*>(&outputs[(warp * G + h) * kRow + 2 * (8 * j + g)]) = make_float2(out[j][i], out[j][i + 2]);
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
      value += outputs[(k * G + h) * kRow + i] * shrink;
    }
    if (pieces == 1) {
      static_cast<__half*>(c.x.data)[activation_at(c.x, row, (kv_head * G + h) * D + dimension(i))] = saturated_half(value / total);
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
    auto* x = static_cast<__half*>(c.x.data);
    *reinterpret_cast<uint32_t*>(x + activation_at(c.x, row, (kv_head * G + h) * D + dimension(i))) = two_halves(value.x, value.y);
    *reinterpret_cast<uint32_t*>(x + activation_at(c.x, row, (kv_head * G + h) * D + dimension(i + 2))) = two_halves(value.z, value.w);
  }
}

struct RopeCall {
  HeadShape shape;
  const __half* qkv;
  int64_t ld;
  const float* bias;
  const int32_t *position, *row;
  Cache cache;
  __half* q;
};

// A warp a head of a token: q heads, then k, then v. A lane holds VD neighbouring values; the ones they rotate with are 16
// lanes away.
template <int VD>
__global__ void __launch_bounds__(256) rope_kernel(const RopeCall c) {
  constexpr int D = 32 * VD;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, heads = c.shape.heads, kv = c.shape.kv;
  const int64_t token = blockIdx.y;
  const int head = int(blockIdx.x) * 8 + warp;
  if (head >= heads + 2 * kv) return;
  const bool is_q = head < heads, is_k = !is_q && head < heads + kv;
  alignas(16) __half in[VD];
  load_columns<VD>(c.qkv + token * c.ld + int64_t(head) * D + lane * VD, in);
  float v[VD];
#pragma unroll
  for (int i = 0; i < VD; ++i) v[i] = __half2float(in[i]) + (c.bias ? c.bias[head * D + lane * VD + i] : 0.0f);
  if (is_q || is_k) {
    if (const float* weight = is_q ? c.shape.q_norm : c.shape.k_norm) {
      float sum = 0;
#pragma unroll
      for (int i = 0; i < VD; ++i) sum += v[i] * v[i];
#pragma unroll
      for (int d = 16; d > 0; d >>= 1) sum += __shfl_xor_sync(~0u, sum, d);
      const float scale = rsqrtf(sum / float(D) + c.shape.eps);
#pragma unroll
      for (int i = 0; i < VD; ++i) v[i] *= scale * weight[lane * VD + i];
    }
    const int64_t at = int64_t(c.position[token]) * D + lane * VD;
#pragma unroll
    for (int i = 0; i < VD; ++i) {
      const float other = __shfl_xor_sync(~0u, v[i], 16), turn = other * c.shape.sin[at + i];
      v[i] = v[i] * c.shape.cos[at + i] + (lane < 16 ? -turn : turn);
    }
  }
  const int64_t cache_at = int64_t(c.row[token]) * kv * D;
  __half* out = is_q ? c.q + (token * heads + head) * D
                     : is_k ? static_cast<__half*>(c.cache.k) + cache_at + (head - heads) * D : static_cast<__half*>(c.cache.v) + cache_at + (head - heads - kv) * D;
  alignas(16) __half rounded[VD];
#pragma unroll
  for (int i = 0; i < VD; ++i) rounded[i] = saturated_half(v[i]);
  store_columns<VD>(out + lane * VD, rounded);
}

template <int VD>
void attend_with(const AttendCall& c, int m, cudaStream_t stream) {
  const size_t bytes = size_t(kWarps) * size_t(c.shape.heads / c.shape.kv) * (32 * VD + 8) * 4;
  static const bool allowed = (allow_shared(attend_kernel<VD>, kWarps * kMaxGroup * (32 * VD + 8) * 4), true);
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

void rope_and_cache(const HeadShape& shape, const void* qkv, int64_t ld, const float* bias, const int32_t* position, const int32_t* row, int64_t T, const Cache& cache, void* q,
                    cudaStream_t stream) {
  const int64_t columns = shape.D / 32 == 3 ? 1 : shape.D / 32;  // what a lane reads at once
  if (ld % columns != 0) refuse("rows of qkv lie at odd places");
  in_grids(T, [&](int64_t first, int64_t count) {
    const RopeCall call{shape, static_cast<const __half*>(qkv) + first * ld, ld, bias, position + first, row + first, cache, static_cast<__half*>(q) + first * shape.heads * shape.D};
    const LaunchShape launched{dim3(unsigned((shape.heads + 2 * shape.kv + 7) / 8), unsigned(count)), dim3(256), 0, stream, false};
    switch (shape.D) {
      case 64: return launch(rope_kernel<2>, launched, call);
      case 96: return launch(rope_kernel<3>, launched, call);
      case 128: return launch(rope_kernel<4>, launched, call);
      case 256: return launch(rope_kernel<8>, launched, call);
      default: refuse("no kernel of rotary positions for this head dimension");
    }
  });
}

}  // namespace teeny::cuda
