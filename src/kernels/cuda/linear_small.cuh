// y = x W^T for m <= 16 tokens: as many bytes in flight as the memory wants. A block of 8 warps has one tile of 16 rows (or
// a pair of tiles); its warps take turns at the units along K, each with a ring of copies of its own, and add up at the end.
#pragma once
#include "kernels/cuda/fragments.cuh"

namespace teeny::cuda {

inline constexpr int kSmallWarps = 8;

// Inputs of one half (64 columns) as the B operand: lane = 4 n + t holds columns 16 s + 4 t .. + 3 of token n (+ 8 j).
template <int NT>
struct InputHalf {
  uint2 b[4][NT];
  __device__ __forceinline__ void load(const __half* x, int64_t ldx, int token, int m) {
#pragma unroll
    for (int j = 0; j < NT; ++j) {
      const bool there = token + 8 * j < m;
#pragma unroll
      for (int s = 0; s < 4; ++s) b[s][j] = there ? __ldcg(reinterpret_cast<const uint2*>(x + 8 * j * ldx + 16 * s)) : make_uint2(0, 0);
    }
  }
};

// The sums of one tile: of the current group as codes times inputs, and of everything.
template <int NT>
struct Sums {
  float total[NT][4], codes[NT][4];
};
template <int N>
__device__ __forceinline__ void clear(float (&sums)[N][4]) {
#pragma unroll
  for (int j = 0; j < N; ++j)
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[j][i] = 0;
}

template <int Bits, int Form, int NT>
struct TileWork {
  static constexpr int kHalves = Form >= int(ScaleForm::Super6) ? 4 : 2;
  static constexpr bool kMin = has_min(Form), kShift = Bits < 16 && !kMin;
  Half64<Bits> half;
  UnitScales<Form> scales;
  uint32_t zero[2];
  int group_steps;  // steps of 16 columns that share a scale (Half forms)

  __device__ __forceinline__ void begin(const PackedLayout& l) {
    zero[0] = zero[1] = uint32_t(l.zero) * 0x00010001u;
    group_steps = l.form == ScaleForm::Row || l.form == ScaleForm::None ? 1 << 20 : l.group / 16;
  }
  __device__ __forceinline__ void begin_unit(const uint8_t* stage, int lane, const PackedLayout& l) { scales.load(stage + kHalves * Half64<Bits>::kBytes, lane, l); }

  // `ones`: sums of the inputs of the current group times 2^-24, like the codes: what a minimum is multiplied by. Tiles
  // that share their inputs share it: the first adds to it, the last clears it when a group ends.
  template <int H, int S, bool First, bool Last>
  __device__ __forceinline__ void step(const PackedLayout& l, const uint2 (&b)[NT], Sums<NT>& sums, float (&ones)[NT][4]) {
    constexpr int k = H * 4 + S;  // step within the unit
    if constexpr (Form == kPlainForm && Bits < 16)
      if (l.form == ScaleForm::HalfZero && (k & (group_steps - 1)) == 0) scales.zeros(k / group_steps, zero);
    uint32_t a0 = half.template get<S, 0>(), a1 = half.template get<S, 1>(), a2 = half.template get<S, 2>(), a3 = half.template get<S, 3>();
    if constexpr (kShift) a0 = minus(a0, zero[0]), a1 = minus(a1, zero[1]), a2 = minus(a2, zero[0]), a3 = minus(a3, zero[1]);
#pragma unroll
    for (int j = 0; j < NT; ++j) multiply(sums.codes[j], a0, a1, a2, a3, b[j]);
    if constexpr (kMin && First) {
#pragma unroll
      for (int j = 0; j < NT; ++j) multiply(ones[j], 0x00010001u, 0x00010001u, 0x00010001u, 0x00010001u, b[j]);
    }
    if constexpr (UnitScales<Form>::kGroup > 0) {
      constexpr int kSteps = UnitScales<Form>::kGroup / 16;
      if constexpr ((k + 1) % kSteps == 0) close_group<Last>(scales.group(k / kSteps), sums, ones);
    } else if constexpr (Bits < 16) {
      if (((k + 1) & (group_steps - 1)) == 0) close_group<Last>(scales.group(k / group_steps), sums, ones);
    }
  }
  template <bool Last>
  __device__ __forceinline__ void close_group(const GroupScale& g, Sums<NT>& sums, float (&ones)[NT][4]) {
#pragma unroll
    for (int j = 0; j < NT; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums.total[j][i] = fmaf(g.scale[i >> 1], sums.codes[j][i], sums.total[j][i]);
        if constexpr (kMin) sums.total[j][i] = fmaf(-g.min[i >> 1], ones[j][i], sums.total[j][i]);
      }
    clear(sums.codes);
    if constexpr (kMin && Last) clear(ones);
  }
  // One scale a row, or none: the codes' sums are the result.
  __device__ __forceinline__ void finish(const PackedLayout& l, Sums<NT>& sums) {
    if constexpr (Form == kPlainForm)
      if (l.form == ScaleForm::Row || l.form == ScaleForm::None) {
#pragma unroll
        for (int j = 0; j < NT; ++j)
#pragma unroll
          for (int i = 0; i < 4; ++i) sums.total[j][i] = sums.codes[j][i];
      }
  }
};

__device__ __forceinline__ float silu(float x) { return x / (1.0f + __expf(-x)); }
__device__ __forceinline__ __half saturated_half(float x) { return __float2half_rn(fminf(fmaxf(x, -65504.0f), 65504.0f)); }

// What a finished sum becomes. `row` counts the rows of the packed weight.
__device__ __forceinline__ float finished(const PackedView& w, const LinearCall& c, int64_t row, float sum) {
  float y = sum * w.factor;
  if (w.layout.bits < 16) y *= kCodeUnit;
  if (w.layout.form == ScaleForm::Row) y *= w.row_scale[row];
  return c.bias ? y + c.bias[row] : y;
}
__device__ __forceinline__ void store_one(const LinearCall& c, int64_t token, int64_t row, float y) {
  float* out = static_cast<float*>(c.out) + token * c.ldo + row;
  *out = c.store == Store::Residual ? *out + y : y;
}
__device__ __forceinline__ void store_pair(const LinearCall& c, int64_t token, int64_t row, float gate, float up) {
  static_cast<__half*>(c.out)[token * c.ldo + row] = saturated_half(silu(gate) * up);
}

template <int Bits, int Form, int NT, int Stages>
__global__ void __launch_bounds__(kSmallWarps * 32) linear_small(const PackedView w, const LinearCall c, const int tiles_a_block) {
  extern __shared__ __align__(16) uint8_t shared[];
  using Work = TileWork<Bits, Form, NT>;
  const PackedLayout& l = w.layout;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const int warps_a_tile = kSmallWarps / tiles_a_block, slice = warp % warps_a_tile;
  const int64_t tile = int64_t(blockIdx.x) * tiles_a_block + warp / warps_a_tile, tiles = l.tiles();
  const int units = int(l.units()), unit_bytes = l.unit_bytes();
  const int mine = tile < tiles && slice < units ? (units - slice + warps_a_tile - 1) / warps_a_tile : 0;
  uint8_t* ring = shared + warp * Stages * unit_bytes;
  const uint8_t* source = w.data + (tile * units + slice) * int64_t(unit_bytes);
  const uint64_t policy = read_once_policy();
  const auto fetch = [&](int i) {
    if (i < mine) {
      const uint32_t to = shared_address(ring + (i % Stages) * unit_bytes);
      const uint8_t* from = source + int64_t(i) * warps_a_tile * unit_bytes;
      for (int at = lane * 16; at < unit_bytes; at += 512) copy_once(to + at, from + at, policy);
    }
    copies_commit();
  };
#pragma unroll
  for (int i = 0; i < Stages; ++i) fetch(i);
  dependency_release();
  dependency_wait();

  const int token = lane >> 2;
  const __half* x = static_cast<const __half*>(c.x) + token * c.ldx + 4 * (lane & 3) + int64_t(slice) * l.unit_columns();
  const int64_t x_stride = int64_t(warps_a_tile) * l.unit_columns();
  Sums<NT> sums;
  float ones[NT][4];
  clear(sums.total), clear(sums.codes), clear(ones);
  Work work;
  work.begin(l);
  InputHalf<NT> now, next;
  if (mine > 0) now.load(x, c.ldx, token, c.m);
  for (int i = 0; i < mine; ++i) {
    copies_wait<Stages - 1>();
    __syncwarp();
    const uint8_t* stage = ring + (i % Stages) * unit_bytes;
    work.begin_unit(stage, lane, l);
    const auto half = [&]<int H>() {
      if (H + 1 < Work::kHalves) next.load(x + 64 * (H + 1), c.ldx, token, c.m);
      else if (i + 1 < mine) next.load(x + x_stride, c.ldx, token, c.m);
      work.half.load(stage + H * Half64<Bits>::kBytes, lane);
      work.template step<H, 0, true, true>(l, now.b[0], sums, ones);
      work.template step<H, 1, true, true>(l, now.b[1], sums, ones);
      work.template step<H, 2, true, true>(l, now.b[2], sums, ones);
      work.template step<H, 3, true, true>(l, now.b[3], sums, ones);
      now = next;
    };
    half.template operator()<0>();
    half.template operator()<1>();
    if constexpr (Work::kHalves == 4) {
      half.template operator()<2>();
      half.template operator()<3>();
    }
    x += x_stride;
    __syncwarp();
    fetch(i + Stages);
  }
  work.finish(l, sums);
  copies_wait<0>();
  __syncthreads();

  constexpr int kTokens = 8 * NT;
  float* partial = reinterpret_cast<float*>(shared);  // (warp, token, 16 rows)
#pragma unroll
  for (int j = 0; j < NT; ++j)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = (lane >> 2) + 8 * (i >> 1), n = 8 * j + 2 * (lane & 3) + (i & 1);
      partial[(warp * kTokens + n) * 16 + row] = sums.total[j][i];
    }
  __syncthreads();
  const auto total = [&](int first_warp, int n, int row) {
    float sum = 0;
    for (int k = 0; k < warps_a_tile; ++k) sum += partial[((first_warp + k) * kTokens + n) * 16 + row];
    return sum;
  };
  if (c.store == Store::SiluPair) {  // two tiles a block: gate, up
    for (int i = threadIdx.x; i < 16 * kTokens; i += blockDim.x) {
      const int row = i & 15, n = i >> 4;
      const int64_t gate_row = int64_t(blockIdx.x) * 32 + row, out_row = int64_t(blockIdx.x) * 16 + row;
      if (n < c.m && out_row < l.N / 2) store_pair(c, n, out_row, finished(w, c, gate_row, total(0, n, row)), finished(w, c, gate_row + 16, total(warps_a_tile, n, row)));
    }
  } else {
    for (int i = threadIdx.x; i < 16 * kTokens * tiles_a_block; i += blockDim.x) {
      const int row = i & 15, n = (i >> 4) % kTokens, t = (i >> 4) / kTokens;
      const int64_t out_row = (int64_t(blockIdx.x) * tiles_a_block + t) * 16 + row;
      if (n < c.m && out_row < l.N) store_one(c, n, out_row, finished(w, c, out_row, total(t * warps_a_tile, n, row)));
    }
  }
}

}  // namespace teeny::cuda
