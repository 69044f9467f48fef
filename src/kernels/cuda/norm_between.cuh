// What products of few tokens do for their neighbours: a norm that has no kernel of its own, the cache of the next attention.
#pragma once
#include "kernels/cuda/fragments.cuh"

namespace teeny::cuda {

// A thread's share of the sums of squares of h: read early, waited for where of_warp() is called.
struct SquareShare {
  float4 first;
  float rest;
  __device__ __forceinline__ void load(const float* squares, int H, int thread, int threads) {
    const int count = int(square_pieces(H) / 4);
    const auto* from = reinterpret_cast<const float4*>(squares);
    first = thread < count ? __ldcg(from + thread) : make_float4(0, 0, 0, 0);
    rest = 0;
#pragma unroll 1
    for (int i = thread + threads; i < count; i += threads) {
      const float4 v = __ldcg(from + i);
      rest += (v.x + v.y) + (v.z + v.w);
    }
  }
  __device__ __forceinline__ float of_warp() const {
    float sum = (first.x + first.y) + (first.z + first.w) + rest;
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) sum += __shfl_xor_sync(~0u, sum, d);
    return sum;
  }
};
inline constexpr float kHeadroom = 64;  // inputs of a norm in between are so many times smaller than a norm's

inline constexpr uint32_t kCacheAheadBytes = 16 << 20;  // L2 is for the weights too
// A thread's share of the keys and values that the next attention will read, on their way to L2. A position that an earlier
// kernel is about to raise is good enough for that.
__device__ __forceinline__ void bring_cache(const CacheAhead& a, uint32_t thread, uint32_t threads) {
#pragma unroll 1
  for (int i = 0; i < a.m; ++i) {
    const uint32_t row = uint32_t(a.width) * 2, bytes = min(uint32_t(a.position[i]) + 1, uint32_t(a.cache.capacity)) * row;
    if (bytes > kCacheAheadBytes / 2 / uint32_t(a.m)) continue;
    const int64_t from = int64_t(a.slot[i]) * a.cache.capacity * row;
#pragma unroll 1
    for (uint32_t at = thread * 128; at < bytes; at += threads * 128) {
      asm volatile("prefetch.global.L2 [%0];" ::"l"(static_cast<const uint8_t*>(a.cache.k) + from + at));
      asm volatile("prefetch.global.L2 [%0];" ::"l"(static_cast<const uint8_t*>(a.cache.v) + from + at));
    }
  }
}

}  // namespace teeny::cuda
