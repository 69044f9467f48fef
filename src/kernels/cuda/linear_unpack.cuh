// A packed weight back to f16 rows: what large products (prefill) multiply. A warp decodes one unit of a tile.
#pragma once
#include "kernels/cuda/linear_small.cuh"

namespace teeny::cuda {

struct UnpackCall {
  int64_t first_tile, tiles, tile0, tile_stride, rows;  // tile i of the output is tile tile0 + (first_tile + i) * tile_stride
  __half* out;
  int64_t ld;
};

template <int Bits, int Form>
__global__ void __launch_bounds__(256) linear_unpack(const PackedView w, const UnpackCall c, const TileShape shape) {
  using Work = TileWork<Bits, Form, 1>;
  constexpr int kHalves = Work::kHalves, kHalfBytes = Half64<Bits>::kBytes;
  const PackedLayout& l = w.layout;
  const int64_t unit = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) >> 5;
  const int lane = threadIdx.x & 31;
  if (unit >= c.tiles * shape.units) return;
  const int64_t out_tile = unit / shape.units, u = unit % shape.units, tile = c.tile0 + (c.first_tile + out_tile) * c.tile_stride;
  const uint8_t* block = w.data + ((tile / 8 * shape.units + u) * 8 + tile % 8) * shape.unit_bytes;
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
  const bool aligned = (c.ld & 7) == 0 && (reinterpret_cast<uintptr_t>(c.out) & 15) == 0;
  with_group_steps<Bits, Form>(shape.group_steps, [&]<int GS>() {
    const auto step = [&]<int H, int S>() {
      [[maybe_unused]] constexpr int k = H * 4 + S;
      GroupScale g{{row_scale[0], row_scale[1]}, {0, 0}};
      if constexpr (GS > 0) {
        g = work.scales.group(k / GS);
        if constexpr (Form == kPlainForm)
          if (l.form == ScaleForm::HalfZero) work.scales.zeros(k / GS, work.zero);
      }
      const uint32_t a[4] = {work.half.template get<S, 0>(), work.half.template get<S, 1>(), work.half.template get<S, 2>(), work.half.template get<S, 3>()};
#pragma unroll
      for (int r = 0; r < 2; ++r)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const uint32_t two = Work::kShift ? minus(a[2 * i + r], work.zero[r]) : a[2 * i + r];
          float2 v = __half22float2(*reinterpret_cast<const __half2*>(&two));
          if constexpr (Bits < 16) {
            v.x = fmaf(v.x * kCodeUnit, g.scale[r], -g.min[r]);
            v.y = fmaf(v.y * kCodeUnit, g.scale[r], -g.min[r]);
          }
          *reinterpret_cast<__half2*>(&tile_rows[(lane >> 2) + 8 * r][16 * S + 2 * (lane & 3) + 8 * i]) = __halves2half2(saturated_half(v.x * w.factor), saturated_half(v.y * w.factor));
        }
    };
    const auto write = [&](int64_t column) {
      __syncwarp();
#pragma unroll
      for (int at = lane; at < 16 * 8; at += 32) {
        const int r = at >> 3, piece = at & 7;
        const int64_t row = out_tile * 16 + r, first = column + 8 * piece;
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
      write(u * l.unit_columns() + 64 * H);
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
