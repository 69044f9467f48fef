// y = x W^T for 9 and more tokens where there is no wgmma (17 where blocks form clusters: linear_middle.cuh): a block has 8 tiles
// and 8 * NT tokens, 4 warps with two tiles each; the inputs of a unit lie in shared memory for all. K is split over blocks where
// rows alone would leave multiprocessors idle; the pieces are added in a fixed order by a second kernel.
#pragma once
#include "kernels/cuda/linear_small.cuh"
#include "kernels/cuda/wgmma.cuh"

namespace teeny::cuda {

inline constexpr int kTileWarps = 4;

template <int Bits, int Form, int NT, int Stages>
__global__ void __launch_bounds__(kTileWarps * 32) linear_tile(const PackedView w, const LinearCall c, const TileShape shape, const int units_a_piece) {
#if !defined(TEENY_WGMMA)  // Hopper has linear_middle and linear_wide
  extern __shared__ __align__(128) uint8_t shared[];
  using Work = TileWork<Bits, Form, NT>;
  constexpr int kTokens = 8 * NT, kHalves = Work::kHalves, kHalfBytes = Half64<Bits>::kBytes;
  const PackedLayout& l = w.layout;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, token0 = int(blockIdx.x) * kTokens;
  const int first = int(blockIdx.z) * units_a_piece, count = min(units_a_piece, shape.units - first);
  const int block_bytes = 8 * shape.unit_bytes, panel_bytes = kTokens * 128, stage_bytes = block_bytes + kHalves * panel_bytes;
  const uint32_t ring = shared_address(shared);
  const auto fetch_weight = [&](int i) {
    if (i < count) copy_pieces(ring + uint32_t((i % Stages) * stage_bytes), w.data + (int64_t(blockIdx.y) * shape.units + first + i) * block_bytes, block_bytes, threadIdx.x, kTileWarps * 32);
  };
  const auto fetch_input = [&](int i) {
    if (i < count)
#pragma unroll
      for (int h = 0; h < kHalves; ++h)
        copy_pieces(ring + uint32_t((i % Stages) * stage_bytes + block_bytes + h * panel_bytes),
                    static_cast<const uint8_t*>(c.x.data) + ((int64_t(first + i) * kHalves + h) * c.x.rows + token0) * 128, panel_bytes, threadIdx.x, kTileWarps * 32);
    copies_commit();
  };
#pragma unroll
  for (int i = 0; i < Stages - 1; ++i) fetch_weight(i);
  dependency_release();
  dependency_wait();
#pragma unroll
  for (int i = 0; i < Stages - 1; ++i) fetch_input(i);
  Sums<NT> sums[2];
  float ones[NT][4];
  clear(ones);
  Work work[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) clear(sums[r].total), clear(sums[r].codes), work[r].begin(l);
  for (int i = 0; i < count; ++i) {
    copies_wait<Stages - 2>();
    __syncthreads();  // the unit is there for all, and the stage filled next is free
    fetch_weight(i + Stages - 1);
    fetch_input(i + Stages - 1);
    const uint8_t* stage = shared + (i % Stages) * stage_bytes;
    const uint32_t input = ring + uint32_t((i % Stages) * stage_bytes + block_bytes) + (lane & 7) * 128;
#pragma unroll
    for (int r = 0; r < 2; ++r) work[r].scales.load(stage + (2 * warp + r) * shape.unit_bytes + kHalves * kHalfBytes, lane);
    with_group_steps<Bits, Form>(shape.group_steps, [&]<int GS>() {
      const auto half = [&]<int H>() {
#pragma unroll
        for (int r = 0; r < 2; ++r) work[r].half.load(stage + (2 * warp + r) * shape.unit_bytes + H * kHalfBytes, lane);
        const auto two_steps = [&]<int P>() {
          uint2 b[2][NT];
#pragma unroll
          for (int j = 0; j < NT; ++j) {
            uint32_t v[4];
            load_matrices(v, input + H * panel_bytes + j * 1024 + (((4 * P + (lane >> 3)) ^ (lane & 7)) << 4));
            b[0][j] = make_uint2(v[0], v[1]), b[1][j] = make_uint2(v[2], v[3]);
          }
          work[0].template step<GS, H, 2 * P, true, false>(l, b[0], sums[0], ones);
          work[1].template step<GS, H, 2 * P, false, true>(l, b[0], sums[1], ones);
          work[0].template step<GS, H, 2 * P + 1, true, false>(l, b[1], sums[0], ones);
          work[1].template step<GS, H, 2 * P + 1, false, true>(l, b[1], sums[1], ones);
        };
        two_steps.template operator()<0>();
        two_steps.template operator()<1>();
      };
      half.template operator()<0>();
      half.template operator()<1>();
      if constexpr (kHalves == 4) {
        half.template operator()<2>();
        half.template operator()<3>();
      }
    });
  }
  copies_wait<0>();
  constexpr float unit = Bits < 16 ? kCodeUnit : 1.0f;
#pragma unroll
  for (int r = 0; r < 2; ++r) work[r].finish(shape.group_steps, sums[r]);
  const int tile0 = int(blockIdx.y) * 8 + 2 * warp;
#pragma unroll
  for (int j = 0; j < NT; ++j)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int n = token0 + 8 * j + 2 * (lane & 3) + (i & 1), in_tile = (lane >> 2) + 8 * (i >> 1);
      const int64_t row = int64_t(tile0) * 16 + in_tile;
      if (n >= c.m) continue;
      const float a = sums[0].total[j][i], b = sums[1].total[j][i];
      if (gridDim.z > 1) {
        float* to = c.partial + (int64_t(blockIdx.z) * c.m + n) * l.N;
        if (row < l.N) to[row] = a;
        if (row + 16 < l.N) to[row + 16] = b;
      } else if (c.store == Store::SiluPair) {
        const int64_t out_row = int64_t(tile0 / 2) * 16 + in_tile;
        if (out_row < l.N / 2) store_pair(c, n, out_row, finished(w, c, row, a, unit), finished(w, c, row + 16, b, unit));
      } else {
        if (row < l.N) store_one(c, n, row, finished(w, c, row, a, unit));
        if (row + 16 < l.N) store_one(c, n, row + 16, finished(w, c, row + 16, b, unit));
      }
    }
#endif
}

}  // namespace teeny::cuda
