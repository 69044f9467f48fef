// y = x W^T for 17 and more tokens on Hopper (wgmma): a block has 8 tiles (128 rows) and N tokens. One warp fills a ring of
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

// The rings: units of weights (128 rows) and pieces of inputs (128 columns of N tokens).
template <int Bits, int Form, int N>
struct WideRings {
  static constexpr int kPieces = Form >= int(ScaleForm::Super6) ? 2 : 1;  // of a unit
  static constexpr int kCodes = 8 * 2 * kPieces * Half64<Bits>::kBytes;   // of a unit
  static constexpr int kInput = N * 256;
  static constexpr int kInputs = N <= 64 && kCodes <= 8192 ? 4 : N <= 64 && kCodes > 28672 ? 2 : 3;
  static constexpr int kWeights = kCodes <= 8192 ? 4 : kCodes <= 16384 || N == 128 ? 3 : 2;
};

// GS: group steps as in SmallWork; one kernel for each, because with several loops in one the compiler lacks registers for
// products in flight at N = 192, and waits for each (C7511).
template <int Bits, int Form, int N, int GS>
__global__ void __launch_bounds__(kWideThreads, 1) linear_wide(const PackedView w, const LinearCall c, const TileShape shape, const int units_a_piece) {
#if defined(TEENY_WGMMA)
  using Rings = WideRings<Bits, Form, N>;
  extern __shared__ __align__(1024) uint8_t shared_wide[];
  __shared__ __align__(8) uint64_t barriers[2 * (Rings::kInputs + Rings::kWeights)];
  constexpr int kInputs = Rings::kInputs, kWeights = Rings::kWeights, kPieces = Rings::kPieces, kHalves = 2 * kPieces, kHalfBytes = Half64<Bits>::kBytes;
  const PackedLayout& l = w.layout;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, token0 = int(blockIdx.x) * N;
  const int first = int(blockIdx.z) * units_a_piece, count = min(units_a_piece, shape.units - first), unit_bytes = 8 * shape.unit_bytes;
  const uint32_t base = shared_address(shared_wide), inputs = (base + 1023) & ~1023u, weights = inputs + kInputs * Rings::kInput;
  const uint8_t* weights_pointer = shared_wide + (weights - base);
  const uint32_t input_full = shared_address(barriers), input_empty = input_full + 8 * kInputs, weight_full = input_empty + 8 * kInputs, weight_empty = weight_full + 8 * kWeights;
  if (threadIdx.x == 0) {
#pragma unroll
    for (int i = 0; i < kInputs; ++i) barrier_init(input_full + 8 * i, 1), barrier_init(input_empty + 8 * i, 8);
#pragma unroll
    for (int i = 0; i < kWeights; ++i) barrier_init(weight_full + 8 * i, 1), barrier_init(weight_empty + 8 * i, 256);
    barriers_visible();
  }
  __syncthreads();
  float sums[N / 2];  // the first product sets them
  if (warp == 8) {
    dependency_release();
    if (lane == 0) {
      const uint64_t policy = read_once_policy();
      const uint8_t* block = w.data + (int64_t(blockIdx.y) * shape.units + first) * unit_bytes;
      const auto fetch_weight = [&](int i) {
        const int slot = i % kWeights;
        if (i >= kWeights) barrier_wait(weight_empty + 8 * slot, uint32_t(i / kWeights - 1) & 1);
        barrier_expect(weight_full + 8 * slot, unit_bytes);
        bulk_copy(weights + slot * unit_bytes, block + int64_t(i) * unit_bytes, unit_bytes, weight_full + 8 * slot, policy);
      };
      const uint8_t* panels = static_cast<const uint8_t*>(c.x.data) + (int64_t(first) * kHalves * c.x.rows + token0) * 128;
      const auto fetch_input = [&](int i) {
        const int slot = i % kInputs;
        if (i >= kInputs) barrier_wait(input_empty + 8 * slot, uint32_t(i / kInputs - 1) & 1);
        barrier_expect(input_full + 8 * slot, Rings::kInput);
        bulk_copy(inputs + slot * Rings::kInput, panels + int64_t(2 * i) * c.x.rows * 128, N * 128, input_full + 8 * slot);
        bulk_copy(inputs + slot * Rings::kInput + N * 128, panels + int64_t(2 * i + 1) * c.x.rows * 128, N * 128, input_full + 8 * slot);
      };
      int unit = 0, piece = 0;
      for (; unit < min(kWeights, count); ++unit) fetch_weight(unit);
      dependency_wait();
      for (; piece < min(kInputs, count * kPieces); ++piece) fetch_input(piece);
      while (unit < count || piece < count * kPieces) {  // in the order in which the slots come free
        if (piece < count * kPieces) fetch_input(piece++);
        if (unit < count && (piece >= count * kPieces || piece >= (unit - kWeights + 1) * kPieces)) fetch_weight(unit++);
      }
    }
    __syncwarp();
  } else {
    dependency_release();
    dependency_wait();  // what the end of the kernel reads and writes
    ScaledFragments<Bits, Form> fragments;
    fragments.begin(l);
    uint32_t a[2][4][4];
    int slot = 0, weight_slot = 0, last = -1;
    uint32_t phase = 0, weight_phase = 0;
    for (int unit = 0; unit < count; ++unit) {
      barrier_wait(weight_full + 8 * weight_slot, weight_phase);
      const uint8_t* mine = weights_pointer + weight_slot * unit_bytes + warp * shape.unit_bytes;
      if constexpr (Bits < 16) fragments.scales.load(mine + kHalves * kHalfBytes, lane);
      const auto half = [&]<int H>() {
        Half64<Bits> codes;
        codes.load(mine + H * kHalfBytes, lane);
        fragments.template get<GS, H, 0>(l, codes, a[H & 1][0]);
        fragments.template get<GS, H, 1>(l, codes, a[H & 1][1]);
        fragments.template get<GS, H, 2>(l, codes, a[H & 1][2]);
        fragments.template get<GS, H, 3>(l, codes, a[H & 1][3]);
        if constexpr (H == kHalves - 1) barrier_arrive(weight_empty + 8 * weight_slot);  // the unit's codes are in the lane's registers
        if constexpr ((H & 1) == 0) barrier_wait(input_full + 8 * slot, phase);
        const uint64_t tokens = wgmma_tokens(inputs + slot * Rings::kInput + (H & 1) * N * 128);
        wgmma_fence();
#pragma unroll
        for (int s = 0; s < 4; ++s) Wgmma<N>::run(sums, a[H & 1][s], tokens + 2 * s, unit + H + s);
        wgmma_commit();
        wgmma_wait<1>();
        if constexpr ((H & 1) == 0) {
          if (last >= 0 && lane == 0) barrier_arrive(input_empty + 8 * last);  // the piece before is done with
          last = slot;
        } else if (++slot == kInputs) {
          slot = 0, phase ^= 1;
        }
      };
      half.template operator()<0>();
      half.template operator()<1>();
      if constexpr (kHalves == 4) {
        half.template operator()<2>();
        half.template operator()<3>();
      }
      if (++weight_slot == kWeights) weight_slot = 0, weight_phase ^= 1;
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
