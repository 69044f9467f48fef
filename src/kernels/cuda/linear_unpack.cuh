// A packed weight back to f16 rows: what large products (prefill) multiply. A warp decodes one unit of a tile.
#pragma once
#include "kernels/cuda/linear_small.cuh"

namespace teeny::cuda {

// Codes with the f16 exponent of 1024 to f16 weights.
template <int Bits, int Form>
struct ScaledFragments {
  static constexpr bool kMin = has_min(Form);
  UnitScales<Form> scales;
  uint32_t zero[2], scale[2], min[2];

  __device__ __forceinline__ void begin(const PackedLayout& l) {
    if constexpr (Bits < 16) scales.prepare(l);
    zero[0] = zero[1] = (uint32_t(kMin ? 0 : l.zero) | 0x6400u) * 0x00010001u;
  }
  static __device__ __forceinline__ uint32_t two_halves(float x) {
    const __half2 h = __float2half2_rn(x);
    return *reinterpret_cast<const uint32_t*>(&h);
  }
  __device__ __forceinline__ void open_group(const PackedLayout& l, int group) {
    if constexpr (Form == kPlainForm) {
      scales.twice(group, scale);
    } else {
      const GroupScale g = scales.group(group);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        scale[r] = two_halves(g.scale[r]);
        if constexpr (kMin) min[r] = two_halves(-g.min[r]);
      }
    }
    if constexpr (Form == kPlainForm)
      if (l.form == ScaleForm::HalfZero) {
        scales.zeros(group, zero);
        zero[0] |= 0x64006400u, zero[1] |= 0x64006400u;
      }
  }
  template <int GS, int H, int S>
  __device__ __forceinline__ void get(const PackedLayout& l, const Half64<Bits>& half, uint32_t (&a)[4]) {
    constexpr int k = H * 4 + S;
    a[0] = half.template get<S, 0>(), a[1] = half.template get<S, 1>(), a[2] = half.template get<S, 2>(), a[3] = half.template get<S, 3>();
    if constexpr (Bits < 16) {
      if constexpr (GS > 0)
        if constexpr (k % GS == 0) open_group(l, k / GS);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int r = i & 1;
        a[i] = minus(a[i] | 0x64006400u, zero[r]);
        if constexpr (kMin) asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(a[i]) : "r"(a[i]), "r"(scale[r]), "r"(min[r]));
        else if constexpr (GS > 0) asm("mul.f16x2 %0, %1, %2;" : "=r"(a[i]) : "r"(a[i]), "r"(scale[r]));
      }
    }
  }
};

struct UnpackCall {
  int64_t first_tile, tiles, tile0, tile_stride, rows;  // tile i of the output is tile tile0 + (first_tile + i) * tile_stride
  __half* out;
  int64_t ld;
};

// The fragments of a step of 16 columns to a tile's rows in shared memory, 72 values apart.
__device__ __forceinline__ void store_fragments(__half (&rows)[16][72], int column, int lane, const uint32_t (&a)[4]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  const uint32_t to = shared_address(&rows[lane & 15][column + 8 * (lane >> 4)]);
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]) : "memory");
#else
#pragma unroll
  for (int i = 0; i < 4; ++i) *reinterpret_cast<uint32_t*>(&rows[(lane >> 2) + 8 * (i & 1)][column + 2 * (lane & 3) + 8 * (i >> 1)]) = a[i];
#endif
}
__device__ __forceinline__ uint32_t finite(uint32_t two) {
  const __half2 most = __half2half2(__ushort_as_half(0x7bff)), v = __hmax2(__hmin2(*reinterpret_cast<const __half2*>(&two), most), __hneg2(most));
  return *reinterpret_cast<const uint32_t*>(&v);
}

template <int Bits, int Form>
__global__ void __launch_bounds__(256) linear_unpack(const PackedView w, const UnpackCall c, const TileShape shape) {
  using Work = TileWork<Bits, Form, 1>;
  constexpr int kHalves = Work::kHalves, kHalfBytes = Half64<Bits>::kBytes;
  const PackedLayout& l = w.layout;
  const uint32_t warp = (blockIdx.x * blockDim.x + threadIdx.x) >> 5, units = uint32_t(shape.units);
  const int lane = threadIdx.x & 31;
  if (warp >= uint32_t(c.tiles) * units) return;
  const uint32_t out_tile = warp / units, u = warp % units;
  const int64_t tile = c.tile0 + (c.first_tile + out_tile) * c.tile_stride;
  const uint8_t* block = w.data + ((tile / 8 * units + u) * 8 + tile % 8) * shape.unit_bytes;
  Work work;
  work.begin(l);
  if constexpr (Bits < 16) work.scales.load(block + kHalves * kHalfBytes, lane);
  float row_scale[2] = {1, 1};
  if (l.form == ScaleForm::Row)
    for (int r = 0; r < 2; ++r) {
      const int64_t row = tile * 16 + (lane >> 2) + 8 * r;
      row_scale[r] = row < l.N ? w.row_scale[row] : 0;
    }
  // Whole rows of 64 values leave together: through shared memory, where rows lie 8 values apart.
  __shared__ __align__(16) __half staged[8][16][72];
  auto& tile_rows = staged[threadIdx.x >> 5];
  const bool whole = (out_tile + 1) * 16 <= c.rows, aligned = (c.ld & 7) == 0 && (reinterpret_cast<uintptr_t>(c.out) & 15) == 0;
  with_group_steps<Bits, Form>(shape.group_steps, [&]<int GS>() {
    // A scale times a code is rounded once in f16 as well; where there is a minimum or another factor, f32 is needed for that.
    constexpr bool kInHalves = Form == kPlainForm && Bits < 16 && GS > 0;
    [[maybe_unused]] ScaledFragments<Bits, Form> fragments;
    if constexpr (kInHalves) fragments.begin(l), fragments.scales.load(block + kHalves * kHalfBytes, lane);
    const auto step = [&]<int H, int S>() {
      [[maybe_unused]] constexpr int k = H * 4 + S;
      if constexpr (kInHalves)
        if (w.factor == 1.0f) {
          uint32_t a[4];
          fragments.template get<GS, H, S>(l, work.half, a);
#pragma unroll
          for (int i = 0; i < 4; ++i) a[i] = finite(a[i]);
          return store_fragments(tile_rows, 16 * S, lane, a);
        }
      GroupScale g{{row_scale[0], row_scale[1]}, {0, 0}};
      if constexpr (GS > 0) {
        g = work.scales.group(k / GS);
        if constexpr (Form == kPlainForm)
          if (l.form == ScaleForm::HalfZero) work.scales.zeros(k / GS, work.zero);
      }
      const uint32_t codes[4] = {work.half.template get<S, 0>(), work.half.template get<S, 1>(), work.half.template get<S, 2>(), work.half.template get<S, 3>()};
      uint32_t a[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int r = i & 1;
        const uint32_t two = Work::kShift ? minus(codes[i], work.zero[r]) : codes[i];
        float2 v = __half22float2(*reinterpret_cast<const __half2*>(&two));
        if constexpr (Bits < 16) v.x = fmaf(v.x * kCodeUnit, g.scale[r], -g.min[r]), v.y = fmaf(v.y * kCodeUnit, g.scale[r], -g.min[r]);
        const __half2 out = __halves2half2(saturated_half(v.x * w.factor), saturated_half(v.y * w.factor));
        a[i] = *reinterpret_cast<const uint32_t*>(&out);
      }
      store_fragments(tile_rows, 16 * S, lane, a);
    };
    const auto write = [&](int64_t column) {
      __syncwarp();
      if (whole && aligned && column + 64 <= l.K) {
        __half* to = c.out + (int64_t(out_tile) * 16 + (lane >> 3)) * c.ld + column + 8 * (lane & 7);
#pragma unroll
        for (int r = 0; r < 16; r += 4, to += 4 * c.ld) *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(&tile_rows[r + (lane >> 3)][8 * (lane & 7)]);
        __syncwarp();
        return;
      }
#pragma unroll 1
      for (int at = lane; at < 16 * 8; at += 32) {
        const int r = at >> 3, piece = at & 7;
        const int64_t row = int64_t(out_tile) * 16 + r, first = column + 8 * piece;
        if (row >= c.rows) continue;
        __half* to = c.out + row * c.ld + first;
        if (aligned && first + 8 <= l.K) {
          *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(&tile_rows[r][8 * piece]);
        } else {
          for (int k = 0; k < 8 && first + k < l.K; ++k) to[k] = tile_rows[r][8 * piece + k];
        }
      }
      __syncwarp();
    };
    const auto half = [&]<int H>() {
      work.half.load(block + H * kHalfBytes, lane);
      step.template operator()<H, 0>();
      step.template operator()<H, 1>();
      step.template operator()<H, 2>();
      step.template operator()<H, 3>();
      write(int64_t(u) * l.unit_columns() + 64 * H);
    };
    half.template operator()<0>();
    half.template operator()<1>();
    if constexpr (kHalves == 4) {
      half.template operator()<2>();
      half.template operator()<3>();
    }
  });
}

}  // namespace teeny::cuda
