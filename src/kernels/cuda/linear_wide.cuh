// y = x W^T for 9 and more tokens on Hopper (wgmma): a block has 8 tiles (128 rows) and N tokens. One warp fills a ring of
// halves (64 columns); two warpgroups decode weights into registers, four tiles each, and multiply them with the tokens in
// shared memory. Weights are rounded to f16 once (scale times code), as a library's product of decoded weights would have
// them. K is split over blocks as in linear_tile.
#pragma once
#include "kernels/cuda/linear_small.cuh"
#include "kernels/cuda/wgmma.cuh"

namespace teeny::cuda {

inline constexpr int kWideThreads = 256 + 32;

// Codes with the f16 exponent of 1024 to f16 weights.
template <int Bits, int Form>
struct ScaledFragments {
  static constexpr bool kMin = has_min(Form);
  UnitScales<Form> scales;
  uint32_t zero[2], scale[2], min[2];

  __device__ __forceinline__ void begin(const PackedLayout& l) { zero[0] = zero[1] = (uint32_t(kMin ? 0 : l.zero) | 0x6400u) * 0x00010001u; }
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
  template <int GS, int H, int S>
  __device__ __forceinline__ void get(const PackedLayout& l, const Half64<Bits>& half, uint32_t (&a)[4]) {
    constexpr int k = H * 4 + S;
    a[0] = half.template get<S, 0>(), a[1] = half.template get<S, 1>(), a[2] = half.template get<S, 2>(), a[3] = half.template get<S, 3>();
    if constexpr (Bits < 16) {
      if constexpr (GS > 0)
        if constexpr (S == 0 || k % GS == 0) open_group(l, k / GS);  // (a half is on its own: a group of 128 is opened in both)
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

template <int Bits, int Form, int N, int Stages>
__global__ void __launch_bounds__(kWideThreads, 1) linear_wide(const PackedView w, const LinearCall c, const TileShape shape, const int units_a_piece) {
#if defined(TEENY_WGMMA)
  extern __shared__ __align__(1024) uint8_t shared_wide[];
  __shared__ __align__(8) uint64_t full_barriers[Stages], empty_barriers[Stages];
  constexpr int kHalves = Form >= int(ScaleForm::Super6) ? 4 : 2, kHalfBytes = Half64<Bits>::kBytes;
  const PackedLayout& l = w.layout;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, token0 = int(blockIdx.x) * N;
  const int first = int(blockIdx.z) * units_a_piece, count = min(units_a_piece, shape.units - first) * kHalves;
  const int copied = N * 128 + 8 * (kHalfBytes + shape.scale_bytes), stage_bytes = (copied + 1023) / 1024 * 1024;
  const uint32_t ring = (shared_address(shared_wide) + 1023) & ~1023u;
  const uint8_t* ring_pointer = shared_wide + (ring - shared_address(shared_wide));
  const uint32_t full = shared_address(full_barriers), empty = shared_address(empty_barriers);
  if (threadIdx.x == 0) {
#pragma unroll
    for (int i = 0; i < Stages; ++i) barrier_init(full + 8 * i, 1), barrier_init(empty + 8 * i, 8);
    barriers_visible();
  }
  __syncthreads();
  float sums[N / 2];  // the first product sets them
  if (warp == 8) {
    if (lane == 0) {
      const uint64_t policy = read_once_policy();
      const uint8_t* block = w.data + (int64_t(blockIdx.y) * shape.units + first) * 8 * shape.unit_bytes;
      const auto weights = [&](int i, int slot) {
        const uint8_t* unit = block + int64_t(i / kHalves) * 8 * shape.unit_bytes;
        const uint32_t to = ring + uint32_t(slot * stage_bytes + N * 128);
        barrier_expect(full + 8 * slot, copied);
        bulk_copy(to, unit + (i % kHalves) * 8 * kHalfBytes, 8 * kHalfBytes, full + 8 * slot, policy);
        if (shape.scale_bytes > 0) bulk_copy(to + 8 * kHalfBytes, unit + kHalves * 8 * kHalfBytes, 8 * shape.scale_bytes, full + 8 * slot);
      };
      const auto inputs = [&](int i, int slot) {
        bulk_copy(ring + uint32_t(slot * stage_bytes), static_cast<const uint8_t*>(c.x.data) + ((int64_t(first) * kHalves + i) * c.x.rows + token0) * 128, N * 128, full + 8 * slot);
      };
      const int ahead = min(Stages, count);
      for (int i = 0; i < ahead; ++i) weights(i, i);
      dependency_release();
      dependency_wait();
      for (int i = 0; i < ahead; ++i) inputs(i, i);
      int slot = 0;
      uint32_t phase = 0;
      for (int i = Stages; i < count; ++i) {
        barrier_wait(empty + 8 * slot, phase);
        weights(i, slot);
        inputs(i, slot);
        if (++slot == Stages) slot = 0, phase ^= 1;
      }
    } else {
      dependency_release();
    }
    __syncwarp();
  } else {
    dependency_release();
    dependency_wait();  // what the end of the kernel reads and writes
    ScaledFragments<Bits, Form> fragments;
    fragments.begin(l);
    uint32_t a[2][4][4];
    int slot = 0, last = 0;
    uint32_t phase = 0;
    for (int unit = 0; unit < count; unit += kHalves) {
      const auto half = [&]<int H>() {
        barrier_wait(full + 8 * slot, phase);
        const uint8_t* mine = ring_pointer + slot * stage_bytes + N * 128;
        Half64<Bits> codes;
        codes.load(mine + warp * kHalfBytes, lane);
        if constexpr (Bits < 16) fragments.scales.load(mine + 8 * kHalfBytes + warp * shape.scale_bytes, lane, l);
        with_group_steps<Bits, Form>(shape.group_steps, [&]<int GS>() {
          fragments.template get<GS, H, 0>(l, codes, a[H & 1][0]);
          fragments.template get<GS, H, 1>(l, codes, a[H & 1][1]);
          fragments.template get<GS, H, 2>(l, codes, a[H & 1][2]);
          fragments.template get<GS, H, 3>(l, codes, a[H & 1][3]);
        });
        wgmma_fence();
#pragma unroll
        for (int s = 0; s < 4; ++s) Wgmma<N>::run(sums, a[H & 1][s], wgmma_tokens(ring + uint32_t(slot * stage_bytes) + 32 * s), unit + H + s);
        wgmma_commit();
        wgmma_wait<1>();
        if (unit + H > 0 && lane == 0) barrier_arrive(empty + 8 * last);  // the half before is done with
        last = slot;
        if (++slot == Stages) slot = 0, phase ^= 1;
      };
      half.template operator()<0>();
      half.template operator()<1>();
      if constexpr (kHalves == 4) {
        half.template operator()<2>();
        half.template operator()<3>();
      }
    }
    wgmma_wait<0>();
  }
  __syncthreads();
  constexpr int kRows = 128, kStride = kRows + 4;
  float* total = reinterpret_cast<float*>(shared_wide);  // (token, 128 rows)
  if (warp < 8) {
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
      const int row = warp * 16 + (lane >> 2) + 8 * ((i >> 1) & 1), n = 8 * (i >> 2) + 2 * (lane & 3) + (i & 1);
      total[n * kStride + row] = sums[i];
    }
  }
  __syncthreads();
  const int64_t row0 = int64_t(blockIdx.y) * kRows;
  const int tokens = min(N, c.m - token0);
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
