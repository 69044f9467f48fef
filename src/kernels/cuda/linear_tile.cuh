// y = x W^T for 17 .. 64 tokens a block (more: a grid of token tiles): 4 warps, each two tiles of 16 rows; the inputs of a
// unit lie in shared memory for all. K is split over blocks where rows alone would leave multiprocessors idle; the pieces
// are added in a fixed order by a second kernel.
#pragma once
#include "kernels/cuda/linear_small.cuh"
#include "kernels/cuda/wgmma.cuh"

namespace teeny::cuda {

inline constexpr int kTileWarps = 4, kTilesABlock = 8;

template <int Bits, int Form, int NT, int Stages>
__global__ void __launch_bounds__(kTileWarps * 32) linear_tile(const PackedView w, const LinearCall c, const int units_a_piece) {
#if !defined(TEENY_WGMMA)  // Hopper has linear_wide
  extern __shared__ __align__(16) uint8_t shared[];
  using Work = TileWork<Bits, Form, NT>;
  constexpr int kTokens = 8 * NT, kColumns = 64 * Work::kHalves, kRow = kColumns + 8;  // 8 more: rows fall into other banks
  const PackedLayout& l = w.layout;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const int token0 = int(blockIdx.x) * kTokens, tokens = min(kTokens, c.m - token0);
  const int units = int(l.units()), unit_bytes = l.unit_bytes();
  const int first = int(blockIdx.z) * units_a_piece, count = min(units_a_piece, units - first);
  const int tile0 = int(blockIdx.y) * kTilesABlock, tiles = min(kTilesABlock, int(l.tiles()) - tile0);
  const int stage_bytes = kTilesABlock * unit_bytes + kTokens * kRow * 2;
  const uint64_t policy = read_once_policy();
  const auto fetch_weight = [&](int i) {
    if (i >= count) return;
    const uint32_t to = shared_address(shared + (i % Stages) * stage_bytes);
    const uint8_t* from = w.data + (int64_t(tile0) * units + first + i) * unit_bytes;
    for (int tile = warp; tile < tiles; tile += kTileWarps)
      for (int at = lane * 16; at < unit_bytes; at += 512) copy_once(to + tile * unit_bytes + at, from + int64_t(tile) * units * unit_bytes + at, policy);
  };
  const auto fetch_input = [&](int i) {
    if (i >= count) return;
    __half* to = reinterpret_cast<__half*>(shared + (i % Stages) * stage_bytes + kTilesABlock * unit_bytes);
    const __half* from = static_cast<const __half*>(c.x) + int64_t(token0) * c.ldx + int64_t(first + i) * kColumns;
    constexpr int kPieces = kColumns / 8;
    for (int at = threadIdx.x; at < kTokens * kPieces; at += kTileWarps * 32) {
      const int n = at / kPieces, k = at % kPieces * 8;
      const int bytes = n < tokens ? 16 : 0;  // 0: zeros are written
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to + n * kRow + k)), "l"(from + int64_t(n < tokens ? n : 0) * c.ldx + k), "r"(bytes)
                   : "memory");
    }
  };
#pragma unroll
  for (int i = 0; i < Stages - 1; ++i) fetch_weight(i);
  dependency_release();
  dependency_wait();
#pragma unroll
  for (int i = 0; i < Stages - 1; ++i) {
    fetch_input(i);
    copies_commit();
  }
  Sums<NT> sums[2];
  Work work[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) clear(sums[r].total), clear(sums[r].codes), work[r].begin(l);
  float ones[NT][4];
  clear(ones);
  for (int i = 0; i < count; ++i) {
    copies_wait<Stages - 2>();
    __syncthreads();  // the unit is there for all, and the stage filled next is free
    fetch_weight(i + Stages - 1);
    fetch_input(i + Stages - 1);
    copies_commit();
    const uint8_t* stage = shared + (i % Stages) * stage_bytes;
    const uint32_t input = shared_address(stage + kTilesABlock * unit_bytes) + (lane & 7) * kRow * 2 + (lane >> 3) * 16;
#pragma unroll
    for (int r = 0; r < 2; ++r) work[r].begin_unit(stage + (2 * warp + r) * unit_bytes, lane, l);
    const auto half = [&]<int H>() {
#pragma unroll
      for (int r = 0; r < 2; ++r) work[r].half.load(stage + (2 * warp + r) * unit_bytes + H * Half64<Bits>::kBytes, lane);
      const auto two_steps = [&]<int P>() {
        uint2 b[2][NT];
#pragma unroll
        for (int j = 0; j < NT; ++j) {
          uint32_t v[4];
          load_matrices(v, input + 8 * j * kRow * 2 + 128 * H + 64 * P);
          b[0][j] = make_uint2(v[0], v[1]), b[1][j] = make_uint2(v[2], v[3]);
        }
        work[0].template step<H, 2 * P, true, false>(l, b[0], sums[0], ones);
        work[1].template step<H, 2 * P, false, true>(l, b[0], sums[1], ones);
        work[0].template step<H, 2 * P + 1, true, false>(l, b[1], sums[0], ones);
        work[1].template step<H, 2 * P + 1, false, true>(l, b[1], sums[1], ones);
      };
      two_steps.template operator()<0>();
      two_steps.template operator()<1>();
    };
    half.template operator()<0>();
    half.template operator()<1>();
    if constexpr (Work::kHalves == 4) {
      half.template operator()<2>();
      half.template operator()<3>();
    }
  }
  copies_wait<0>();
  constexpr float unit = Bits < 16 ? kCodeUnit : 1.0f;
#pragma unroll
  for (int r = 0; r < 2; ++r) work[r].finish(l, sums[r]);
#pragma unroll
  for (int j = 0; j < NT; ++j)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int n = token0 + 8 * j + 2 * (lane & 3) + (i & 1), in_tile = (lane >> 2) + 8 * (i >> 1);
      const int64_t row = int64_t(tile0 + 2 * warp) * 16 + in_tile;
      if (n >= c.m) continue;
      if (gridDim.z > 1) {
        float* to = c.partial + (int64_t(blockIdx.z) * c.m + n) * l.N;
        if (row < l.N) to[row] = sums[0].total[j][i];
        if (row + 16 < l.N) to[row + 16] = sums[1].total[j][i];
      } else if (c.store == Store::SiluPair) {
        if (row + 16 < l.N) store_pair(c, n, int64_t(tile0 / 2 + warp) * 16 + in_tile, finished(w, c, row, sums[0].total[j][i], unit), finished(w, c, row + 16, sums[1].total[j][i], unit));
      } else {
        if (row < l.N) store_one(c, n, row, finished(w, c, row, sums[0].total[j][i], unit));
        if (row + 16 < l.N) store_one(c, n, row + 16, finished(w, c, row + 16, sums[1].total[j][i], unit));
      }
    }
#endif
}

}  // namespace teeny::cuda
