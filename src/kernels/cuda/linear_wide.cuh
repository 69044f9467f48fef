// y = x W^T for 9 and more tokens on Hopper (wgmma): a block has 8 tiles (128 rows) and N tokens; two warpgroups of 4
// warps decode weights into registers, the tokens' columns lie in shared memory. Weights are rounded to f16 once (scale
// times code), as a library's product of decoded weights would have them. K is split over blocks as in linear_tile.
#pragma once
#include "kernels/cuda/linear_small.cuh"
#include "kernels/cuda/wgmma.cuh"

namespace teeny::cuda {

inline constexpr int kWideTiles = 8, kWideThreads = 256;

// Codes with the f16 exponent of 1024 to f16 weights.
template <int Bits, int Form>
struct ScaledFragments {
  static constexpr bool kMin = has_min(Form);
  UnitScales<Form> scales;
  uint32_t zero[2], scale[2], min[2];
  int group_steps;
  bool scaled;

  __device__ __forceinline__ void begin(const PackedLayout& l) {
    zero[0] = zero[1] = (uint32_t(kMin ? 0 : l.zero) | 0x6400u) * 0x00010001u;
    group_steps = l.group / 16;
    scaled = l.form != ScaleForm::Row;
  }
  static __device__ __forceinline__ uint32_t two_halves(float x) {
    const __half2 h = __float2half2_rn(x);
    return *reinterpret_cast<const uint32_t*>(&h);
  }
  __device__ __forceinline__ void open_group(const PackedLayout& l, int group) {
    const GroupScale g = scales.group(group);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      scale[r] = two_halves(g.scale[r]);
      if constexpr (kMin) min[r] = two_halves(-g.min[r]);
    }
    if constexpr (Form == kPlainForm)
      if (l.form == ScaleForm::HalfZero) {
        scales.zeros(group, zero);
        zero[0] |= 0x64006400u, zero[1] |= 0x64006400u;
      }
  }
  template <int H, int S>
  __device__ __forceinline__ void get(const PackedLayout& l, const Half64<Bits>& half, uint32_t (&a)[4]) {
    constexpr int k = H * 4 + S;
    a[0] = half.template get<S, 0>(), a[1] = half.template get<S, 1>(), a[2] = half.template get<S, 2>(), a[3] = half.template get<S, 3>();
    if constexpr (Bits == 16) return;
    if constexpr (UnitScales<Form>::kGroup > 0) {
      constexpr int kSteps = UnitScales<Form>::kGroup / 16;
      if constexpr (k % kSteps == 0) open_group(l, k / kSteps);
    } else {
      // (H is a piece of the unit: a group of 128 is opened in both.)
      if (scaled && (S == 0 || (k & (group_steps - 1)) == 0)) open_group(l, k / group_steps);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int r = i & 1;
      a[i] = minus(a[i] | 0x64006400u, zero[r]);
      if constexpr (kMin) asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(a[i]) : "r"(a[i]), "r"(scale[r]), "r"(min[r]));
      else if (scaled) asm("mul.f16x2 %0, %1, %2;" : "=r"(a[i]) : "r"(a[i]), "r"(scale[r]));
    }
  }
};

template <int Bits, int Form, int N, int Stages>
__global__ void __launch_bounds__(kWideThreads, 1) linear_wide(const PackedView w, const LinearCall c, const int units_a_piece) {
#if defined(TEENY_WGMMA)
  extern __shared__ __align__(1024) uint8_t shared_wide[];
  constexpr int kHalves = Form >= int(ScaleForm::Super6) ? 4 : 2, kCodes = Half64<Bits>::kBytes;
  const PackedLayout& l = w.layout;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const int token0 = int(blockIdx.x) * N, tokens = min(N, c.m - token0);
  const int unit_bytes = l.unit_bytes(), scale_bytes = l.scale_bytes(), tile_bytes = kCodes + scale_bytes;
  const int units = int(l.units()), first = int(blockIdx.z) * units_a_piece, count = min(units_a_piece, units - first) * kHalves;
  const int tile0 = int(blockIdx.y) * kWideTiles, tiles = int(l.tiles());
  const int stage_bytes = (N * 128 + kWideTiles * tile_bytes + 1023) / 1024 * 1024;
  const uint32_t ring = shared_address(shared_wide);
  const uint64_t policy = read_once_policy();
  const auto fetch_weight = [&](int i) {  // a warp copies the tile that it will multiply; scales come with every half
    if (i >= count || tile0 + warp >= tiles) return;
    const uint32_t to = ring + uint32_t((i % Stages) * stage_bytes + N * 128 + warp * tile_bytes);
    const uint8_t* unit = w.data + (int64_t(tile0 + warp) * units + first + i / kHalves) * unit_bytes;
#pragma unroll
    for (int at = 0; at < kCodes; at += 512)
      if (at + lane * 16 < kCodes) copy_once(to + at + lane * 16, unit + (i % kHalves) * kCodes + at + lane * 16, policy);
    for (int at = lane * 16; at < scale_bytes; at += 512)
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + kCodes + at), "l"(unit + kHalves * kCodes + at) : "memory");
  };
  const auto fetch_input = [&](int i) {
    if (i >= count) return;
    const uint32_t to = ring + uint32_t((i % Stages) * stage_bytes);
    const __half* from = static_cast<const __half*>(c.x) + int64_t(token0) * c.ldx + (int64_t(first) * kHalves + i) * 64;
#pragma unroll
    for (int at = threadIdx.x; at < N * 8; at += kWideThreads) {
      const int n = at >> 3, piece = at & 7, bytes = n < tokens ? 16 : 0;  // 0: zeros are written
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to + n * 128 + ((piece ^ (n & 7)) << 4)), "l"(from + int64_t(n < tokens ? n : 0) * c.ldx + piece * 8), "r"(bytes)
                   : "memory");
    }
  };
  constexpr int kAhead = Stages - 2;  // the stage of two halves ago is free: its products are known to be done
#pragma unroll
  for (int i = 0; i < kAhead; ++i) fetch_weight(i);
  dependency_release();
  dependency_wait();
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    fetch_input(i);
    copies_commit();
  }
  float sums[N / 2];  // the first product sets them
  ScaledFragments<Bits, Form> fragments;
  fragments.begin(l);
  uint32_t a[2][4][4];
  for (int unit = 0; unit < count; unit += kHalves) {
    const auto half = [&]<int H>() {
      const int i = unit + H;
      copies_wait<kAhead - 1>();
      wgmma_see_writes();
      __syncthreads();
      fetch_weight(i + kAhead);
      fetch_input(i + kAhead);
      copies_commit();
      const int at = (i % Stages) * stage_bytes;
      const uint8_t* mine = shared_wide + at + N * 128 + warp * tile_bytes;
      Half64<Bits> codes;
      codes.load(mine, lane);
      if constexpr (Bits < 16) fragments.scales.load(mine + kCodes, lane, l);
      fragments.template get<H, 0>(l, codes, a[H & 1][0]);
      fragments.template get<H, 1>(l, codes, a[H & 1][1]);
      fragments.template get<H, 2>(l, codes, a[H & 1][2]);
      fragments.template get<H, 3>(l, codes, a[H & 1][3]);
      wgmma_fence();
#pragma unroll
      for (int s = 0; s < 4; ++s) Wgmma<N>::run(sums, a[H & 1][s], wgmma_tokens(ring + uint32_t(at) + 32 * s), i + s);
      wgmma_commit();
      wgmma_wait<1>();
    };
    half.template operator()<0>();
    half.template operator()<1>();
    if constexpr (kHalves == 4) {
      half.template operator()<2>();
      half.template operator()<3>();
    }
  }
  wgmma_wait<0>();
  copies_wait<0>();
  __syncthreads();
  constexpr int kRows = kWideTiles * 16, kStride = kRows + 4;
  float* total = reinterpret_cast<float*>(shared_wide);  // (token, 128 rows)
#pragma unroll
  for (int i = 0; i < N / 2; ++i) {
    const int row = warp * 16 + (lane >> 2) + 8 * ((i >> 1) & 1), n = 8 * (i >> 2) + 2 * (lane & 3) + (i & 1);
    total[n * kStride + row] = sums[i];
  }
  __syncthreads();
  const int64_t row0 = int64_t(tile0) * 16;
  if (gridDim.z == 1 && c.store == Store::SiluPair) {
    for (int i = threadIdx.x; i < tokens * (kRows / 2); i += kWideThreads) {
      const int n = i / (kRows / 2), r = i % (kRows / 2), gate = r / 16 * 32 + r % 16;
      if (row0 / 2 + r < l.N / 2)
        store_pair(c, token0 + n, row0 / 2 + r, finished(w, c, row0 + gate, total[n * kStride + gate], 1.0f), finished(w, c, row0 + gate + 16, total[n * kStride + gate + 16], 1.0f));
    }
    return;
  }
  for (int i = threadIdx.x; i < tokens * kRows; i += kWideThreads) {
    const int n = i / kRows, r = i % kRows;
    const int64_t row = row0 + r;
    if (row >= l.N) continue;
    if (gridDim.z > 1) c.partial[(int64_t(blockIdx.z) * c.m + token0 + n) * l.N + row] = total[n * kStride + r];
    else store_one(c, token0 + n, row, finished(w, c, row, total[n * kStride + r], 1.0f));
  }
#endif
}

}  // namespace teeny::cuda
