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
  if constexpr (Bits < 16) work.scales.load(block + kHalves * kHalfBytes, lane, l);
  float row_scale[2] = {1, 1};
  if (l.form == ScaleForm::Row)
    for (int r = 0; r < 2; ++r) {
      const int64_t row = tile * 16 + (lane >> 2) + 8 * r;
      row_scale[r] = row < l.N ? w.row_scale[row] : 0;
    }
  with_group_steps<Bits, Form>(shape.group_steps, [&]<int GS>() {
    const auto step = [&]<int H, int S>() {
      constexpr int k = H * 4 + S;
      GroupScale g{{row_scale[0], row_scale[1]}, {0, 0}};
      if constexpr (GS > 0) {
        g = work.scales.group(k / GS);
        if constexpr (Form == kPlainForm)
          if (l.form == ScaleForm::HalfZero) work.scales.zeros(k / GS, work.zero);
      }
      const uint32_t a[4] = {work.half.template get<S, 0>(), work.half.template get<S, 1>(), work.half.template get<S, 2>(), work.half.template get<S, 3>()};
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int64_t row = out_tile * 16 + (lane >> 2) + 8 * r, column = u * l.unit_columns() + 16 * k + 2 * (lane & 3);
        if (row >= c.rows) continue;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const uint32_t two = Work::kShift ? minus(a[2 * i + r], work.zero[r]) : a[2 * i + r];
          float2 v = __half22float2(*reinterpret_cast<const __half2*>(&two));
          if constexpr (Bits < 16) {
            v.x = fmaf(v.x * kCodeUnit, g.scale[r], -g.min[r]);
            v.y = fmaf(v.y * kCodeUnit, g.scale[r], -g.min[r]);
          }
          const int64_t at = column + 8 * i;
          __half* to = c.out + row * c.ld + at;
          if (at + 1 < l.K && (c.ld & 1) == 0) {
            *reinterpret_cast<__half2*>(to) = __halves2half2(saturated_half(v.x * w.factor), saturated_half(v.y * w.factor));
          } else {
            if (at < l.K) to[0] = saturated_half(v.x * w.factor);
            if (at + 1 < l.K) to[1] = saturated_half(v.y * w.factor);
          }
        }
      }
    };
    const auto half = [&]<int H>() {
      work.half.load(block + H * kHalfBytes, lane);
      step.template operator()<H, 0>();
      step.template operator()<H, 1>();
      step.template operator()<H, 2>();
      step.template operator()<H, 3>();
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
