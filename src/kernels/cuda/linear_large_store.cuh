// The end of a tile of linear_large: what sums become, and how they reach memory.
#pragma once
#include <algorithm>

#include "kernels/cuda/linear_small.cuh"
#include "kernels/cuda/wgmma.cuh"

namespace teeny::cuda {

inline constexpr int kLargeTokens = 128;  // of a tile
inline constexpr int kLargeStage = 2048;  // bytes of shared memory that a warp passes results through

// What the sums of a lane's rows, `row` and 8 below, become.
struct LargeRows {
  float by[2], bias[2];
  __device__ __forceinline__ LargeRows(const PackedView& w, const LinearCall& c, int64_t row, float unit, int second) {
#pragma unroll
    for (int r = 0; r < 2; ++r, row += 8) {
      const bool real = row < w.layout.N;
      by[r] = real ? row_scale(w, row) * w.factor * unit : 0.0f;
      if (r) by[r] /= float(second);
      bias[r] = real && c.bias ? c.bias[row] : 0.0f;
    }
  }
  template <int N>
  __device__ __forceinline__ void finish(float (&y)[N]) const {
#pragma unroll
    for (int i = 0; i < N; ++i) y[i] = fmaf(y[i], by[(i >> 1) & 1], bias[(i >> 1) & 1]);
  }
};

__device__ __forceinline__ void pair_wait(int pair) { asm volatile("bar.sync %0, 64;" ::"r"(1 + pair) : "memory"); }

// Four 8 x 8 matrices (rows x tokens) of f16 to shared memory with tokens as rows; lane i gives the address of row i % 8 of matrix i / 8.
__device__ __forceinline__ void store_transposed(uint32_t to, const uint32_t (&a)[4]) {
#if defined(TEENY_WGMMA)
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]) : "memory");
#endif
}

// Where a warp's 16 rows of finished sums go. y[i]: row (lane >> 2) + 8 ((i >> 1) & 1) of them, token 8 (i >> 2) + 2 (lane & 3) + (i & 1).
struct LargeStore {
  const LinearCall& c;
  const int64_t rows;  // of the whole output
  const int warp, lane;
  uint8_t* stage;  // kLargeStage bytes of this warp; the next warp's follow

  // Y values of 2 Y tokens.
  template <int Y>
  __device__ __forceinline__ void all(const float (&y)[Y], int token0, int64_t row0) const {
    switch (c.store) {
      case Store::SiluPair: return silu_pair(y, token0, row0);
      case Store::Half:
        halves<std::min(2 * Y, 64)>(y, token0, row0);
        if constexpr (Y == 64) halves<64>(y + 32, token0 + 64, row0);
        return;
      case Store::Residual: return floats<true>(y, token0, row0);
      case Store::Float: return floats<false>(y, token0, row0);
    }
  }
  template <bool Add, int Y>
  __device__ __forceinline__ void floats(const float (&y)[Y], int token0, int64_t row0) const {
    if (token0 + 2 * Y <= c.m && row0 + 16 <= rows) floats<Add, true>(y, token0, row0);
    else floats<Add, false>(y, token0, row0);
  }
  template <bool Add, bool Whole, int Y>
  __device__ __forceinline__ void floats(const float (&y)[Y], int token0, int64_t row0) const {
    const int64_t row = row0 + (lane >> 2);
    float* out = c.out + (token0 + 2 * (lane & 3)) * c.ldo + row;
#pragma unroll
    for (int i = 0; i < Y; ++i) {
      const int token = 8 * (i >> 2) + (i & 1), r = 8 * ((i >> 1) & 1);
      if (Whole || (token0 + token + 2 * (lane & 3) < c.m && row + r < rows)) {
        float* at = out + token * c.ldo + r;
        if constexpr (Add) atomicAdd(at, y[i]);  // by nobody else: an addition that is not waited for
        else *at = y[i];
      }
    }
  }
  // Tokens (16, 32 or 64) as f16, 16 bytes at a time.
  template <int Tokens>
  __device__ __forceinline__ void halves(const float* y, int token0, int64_t column0) const {
    const uint32_t to = shared_address(stage) + ((lane & 7) + 8 * (lane >> 4)) * 32 + ((lane >> 3) & 1) * 16;
#pragma unroll
    for (int j = 0; j < Tokens / 8; j += 2) {
      uint32_t a[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {  // rows 0 and 8 of tokens 8 j, then of 8 (j + 1)
        const __half2 two = __halves2half2(saturated_half(y[4 * j + 2 * i]), saturated_half(y[4 * j + 2 * i + 1]));
        a[i] = *reinterpret_cast<const uint32_t*>(&two);
      }
      store_transposed(to + j * 8 * 32, a);
    }
    __syncwarp();
    __half* out = static_cast<__half*>(c.out16.data);
    const int64_t column = column0 + 8 * (lane & 1);
    const bool whole = column + 8 <= rows && (c.out16.rows > 0 || (c.out16.ld & 7) == 0) && (reinterpret_cast<uintptr_t>(out) & 15) == 0;
#pragma unroll
    for (int n = lane >> 1; n < Tokens; n += 16) {
      const int token = token0 + n;
      const uint4 eight = *reinterpret_cast<const uint4*>(stage + n * 32 + (lane & 1) * 16);
      if (token >= c.m) continue;
      if (whole) {
        *reinterpret_cast<uint4*>(out + activation_at(c.out16, token, column)) = eight;
      } else {
        const auto* each = reinterpret_cast<const __half*>(&eight);
        for (int i = 0; i < 8 && column + i < rows; ++i) out[activation_at(c.out16, token, column + i)] = each[i];
      }
    }
    __syncwarp();
  }
  // The warps of a pair hold gate and up: each finishes half of the tokens with what the other gives it.
  template <int Y>
  __device__ __forceinline__ void silu_pair(const float (&y)[Y], int token0, int64_t row0) const {
    constexpr int kHalf = Y / 2, kRound = std::min(kHalf, 16);
    const bool up = warp & 1;
    auto* give = reinterpret_cast<float*>(stage) + lane;
    const auto* take = give + (up ? -512 : 512);
    float both[kHalf];
#pragma unroll
    for (int first = 0; first < kHalf; first += kRound) {
#pragma unroll
      for (int i = first; i < first + kRound; ++i) give[32 * (i - first)] = up ? y[i] : y[kHalf + i];
      pair_wait(warp >> 1);
#pragma unroll
      for (int i = first; i < first + kRound; ++i) {
        const float other = take[32 * (i - first)];
        both[i] = up ? silu(other) * y[kHalf + i] : silu(y[i]) * other;
      }
      pair_wait(warp >> 1);
    }
    halves<Y>(both, token0 + (up ? Y : 0), (row0 - 16 * (warp & 1)) / 2);
  }
};

}  // namespace teeny::cuda
