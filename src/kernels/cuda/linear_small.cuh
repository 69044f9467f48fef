// y = x W^T for a few tokens: as many bytes in flight as the memory wants. A block has RT tiles of 16 rows; its warps take
// turns at the units along K, each with a ring of its own for weights and inputs, and add up at the end.
#pragma once
#include "kernels/cuda/fragments.cuh"

namespace teeny::cuda {

inline constexpr int kSmallWarps = 8;

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

// What a finished sum becomes. `row` counts the rows of the packed weight, `unit` is what codes were multiplied as.
__device__ __forceinline__ float finished(const PackedView& w, const LinearCall& c, int64_t row, float sum, float unit) {
  float y = sum * w.factor * unit;
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

// Bytes of one token's columns of a unit in shared memory: 16 more, so that rows fall into other banks.
template <int Form>
inline constexpr int kInputRow = (Form >= int(ScaleForm::Super6) ? 512 : 256) + 16;

template <int Bits, int Form, int NT, int RT, int Warps, int Stages>
__global__ void __launch_bounds__(Warps * 32) linear_small(const PackedView w, const LinearCall c) {
  extern __shared__ __align__(16) uint8_t shared[];
  using Work = TileWork<Bits, Form, NT>;
  constexpr int kUnitInput = kInputRow<Form> - 16;
  const PackedLayout& l = w.layout;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const int units = int(l.units()), unit_bytes = l.unit_bytes(), tiles = int(l.tiles()), tile0 = int(blockIdx.x) * RT;
  const int mine = warp < units ? (units - warp + Warps - 1) / Warps : 0;
  const int stage_bytes = RT * unit_bytes + c.m * kInputRow<Form>;
  const uint32_t ring = shared_address(shared) + uint32_t(warp * Stages * stage_bytes);
  const uint8_t* stages = shared + warp * Stages * stage_bytes;
  const uint64_t policy = read_once_policy();
  const auto fetch_weight = [&](int i) {
    if (i >= mine) return;
#pragma unroll
    for (int r = 0; r < RT; ++r) {
      if (tile0 + r >= tiles) continue;
      const uint8_t* from = w.data + (int64_t(tile0 + r) * units + warp + i * Warps) * unit_bytes;
      const uint32_t to = ring + uint32_t((i % Stages) * stage_bytes + r * unit_bytes);
      for (int at = lane * 16; at < unit_bytes; at += 512) copy_once(to + at, from + at, policy);
    }
  };
  const auto fetch_input = [&](int i) {
    if (i >= mine) return;
    constexpr int kPieces = kUnitInput / 16;
    const uint32_t to = ring + uint32_t((i % Stages) * stage_bytes + RT * unit_bytes);
    const auto* from = static_cast<const uint8_t*>(c.x) + int64_t(warp + i * Warps) * kUnitInput;
    for (int at = lane; at < c.m * kPieces; at += 32) {
      const int n = at / kPieces, piece = at % kPieces;
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + n * kInputRow<Form> + piece * 16), "l"(from + n * c.ldx * 2 + piece * 16) : "memory");
    }
  };
#pragma unroll
  for (int i = 0; i < Stages; ++i) fetch_weight(i);
  dependency_release();
  dependency_wait();
#pragma unroll
  for (int i = 0; i < Stages; ++i) {
    fetch_input(i);
    copies_commit();
  }
  Sums<NT> sums[RT];
  float ones[NT][4];
  clear(ones);
  Work work[RT];
#pragma unroll
  for (int r = 0; r < RT; ++r) clear(sums[r].total), clear(sums[r].codes), work[r].begin(l);
  uint32_t input_at[NT];  // rows beyond m repeat the last: what comes of them is not stored
#pragma unroll
  for (int j = 0; j < NT; ++j) input_at[j] = uint32_t(min(8 * j + (lane & 7), c.m - 1) * kInputRow<Form> + (lane >> 3) * 16);
  for (int i = 0; i < mine; ++i) {
    copies_wait<Stages - 1>();
    __syncwarp();
    const int at = (i % Stages) * stage_bytes;
    const uint8_t* stage = stages + at;
    const uint32_t input = ring + uint32_t(at + RT * unit_bytes);
#pragma unroll
    for (int r = 0; r < RT; ++r) work[r].begin_unit(stage + r * unit_bytes, lane, l);
    const auto half = [&]<int H>() {
#pragma unroll
      for (int r = 0; r < RT; ++r) work[r].half.load(stage + r * unit_bytes + H * Half64<Bits>::kBytes, lane);
      const auto two_steps = [&]<int P>() {
        uint2 b[2][NT];
#pragma unroll
        for (int j = 0; j < NT; ++j) {
          uint32_t v[4];
          load_matrices(v, input + input_at[j] + 128 * H + 64 * P);
          b[0][j] = make_uint2(v[0], v[1]), b[1][j] = make_uint2(v[2], v[3]);
        }
        work[0].template step<H, 2 * P, true, RT == 1>(l, b[0], sums[0], ones);
        if constexpr (RT == 2) work[1].template step<H, 2 * P, false, true>(l, b[0], sums[1], ones);
        work[0].template step<H, 2 * P + 1, true, RT == 1>(l, b[1], sums[0], ones);
        if constexpr (RT == 2) work[1].template step<H, 2 * P + 1, false, true>(l, b[1], sums[1], ones);
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
    __syncwarp();
    fetch_weight(i + Stages);
    fetch_input(i + Stages);
    copies_commit();
  }
  copies_wait<0>();
  __syncthreads();

  constexpr int kTokens = 8 * NT;
  float* partial = reinterpret_cast<float*>(shared);  // (warp, tile, token, 16 rows)
#pragma unroll
  for (int r = 0; r < RT; ++r) {
    work[r].finish(l, sums[r]);
#pragma unroll
    for (int j = 0; j < NT; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = (lane >> 2) + 8 * (i >> 1), n = 8 * j + 2 * (lane & 3) + (i & 1);
        partial[((warp * RT + r) * kTokens + n) * 16 + row] = sums[r].total[j][i];
      }
  }
  __syncthreads();
  constexpr float unit = Bits < 16 ? kCodeUnit : 1.0f;
  const auto total = [&](int r, int n, int row) {
    float sum = 0;
#pragma unroll
    for (int k = 0; k < Warps; ++k) sum += partial[((k * RT + r) * kTokens + n) * 16 + row];
    return sum;
  };
  if (RT == 2 && c.store == Store::SiluPair) {  // the tiles are gate and up
    for (int i = threadIdx.x; i < 16 * c.m; i += Warps * 32) {
      const int row = i & 15, n = i >> 4;
      const int64_t gate_row = int64_t(tile0) * 16 + row, out_row = int64_t(tile0) * 8 + row;
      if (out_row < l.N / 2) store_pair(c, n, out_row, finished(w, c, gate_row, total(0, n, row), unit), finished(w, c, gate_row + 16, total(1, n, row), unit));
    }
  } else {
    for (int i = threadIdx.x; i < 16 * c.m * RT; i += Warps * 32) {
      const int row = i & 15, n = (i >> 4) % c.m, r = (i >> 4) / c.m;
      const int64_t out_row = int64_t(tile0 + r) * 16 + row;
      if (out_row < l.N) store_one(c, n, out_row, finished(w, c, out_row, total(r, n, row), unit));
    }
  }
}

}  // namespace teeny::cuda
