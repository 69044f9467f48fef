// y = x W^T for a few tokens: as many bytes in flight as the memory wants. A block has RT tiles of 16 rows; its warps take
// turns at the units along K, each with a ring of its own for weights and inputs, and add up at the end. Where there are
// few tiles, two blocks of a cluster share them (`blocks_a_tile`), so that all multiprocessors have about as much to do.
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

// One tile's way through a unit. GS: steps of 16 columns that share a scale (0: none does), known when it is compiled.
template <int Bits, int Form, int NT>
struct TileWork {
  static constexpr int kHalves = Form >= int(ScaleForm::Super6) ? 4 : 2;
  static constexpr bool kMin = has_min(Form), kShift = Bits < 16 && !kMin;
  Half64<Bits> half;
  UnitScales<Form> scales;
  uint32_t zero[2];

  __device__ __forceinline__ void begin(const PackedLayout& l) {
    scales.prepare(l);
    zero[0] = zero[1] = uint32_t(l.zero) * 0x00010001u;
  }

  // `ones`: sums of the inputs of the current group times 2^-24, like the codes: what a minimum is multiplied by. Tiles
  // that share their inputs share it: the first adds to it, the last clears it when a group ends.
  template <int GS, int H, int S, bool First, bool Last>
  __device__ __forceinline__ void step(const PackedLayout& l, const uint2 (&b)[NT], Sums<NT>& sums, float (&ones)[NT][4]) {
    constexpr int k = H * 4 + S;  // step within the unit
    if constexpr (Form == kPlainForm && Bits < 16 && GS > 0)
      if constexpr (k % GS == 0)
        if (l.form == ScaleForm::HalfZero) scales.zeros(k / GS, zero);
    uint32_t a0 = half.template get<S, 0>(), a1 = half.template get<S, 1>(), a2 = half.template get<S, 2>(), a3 = half.template get<S, 3>();
    if constexpr (kShift) a0 = minus(a0, zero[0]), a1 = minus(a1, zero[1]), a2 = minus(a2, zero[0]), a3 = minus(a3, zero[1]);
#pragma unroll
    for (int j = 0; j < NT; ++j) multiply(sums.codes[j], a0, a1, a2, a3, b[j]);
    if constexpr (kMin && First) {
#pragma unroll
      for (int j = 0; j < NT; ++j) multiply(ones[j], 0x00010001u, 0x00010001u, 0x00010001u, 0x00010001u, b[j]);
    }
    if constexpr (GS > 0)
      if constexpr ((k + 1) % GS == 0) close_group<Last>(scales.group(k / GS), sums, ones);
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
  __device__ __forceinline__ void finish(int group_steps, Sums<NT>& sums) {
    if (group_steps != 0) return;
#pragma unroll
    for (int j = 0; j < NT; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums.total[j][i] = sums.codes[j][i];
  }
};

// Calls body<GS>() for the steps that this weight's groups have: a choice once a unit, not once a step.
template <int Bits, int Form, class F>
__device__ __forceinline__ void with_group_steps(int group_steps, F&& body) {
  if constexpr (Form >= int(ScaleForm::Super6)) {
    body.template operator()<UnitScales<Form>::kGroup / 16>();
  } else if constexpr (Bits == 16) {
    body.template operator()<0>();
  } else if constexpr (Form == int(ScaleForm::HalfMin)) {
    if (group_steps == 2) body.template operator()<2>();
    else body.template operator()<1>();
  } else {
    if (group_steps == 8) body.template operator()<8>();
    else if (group_steps == 2) body.template operator()<2>();
    else if (group_steps == 4) body.template operator()<4>();
    else if (group_steps == 0) body.template operator()<0>();
    else body.template operator()<1>();
  }
}

__device__ __forceinline__ float silu(float x) { return x / (1.0f + __expf(-x)); }
__device__ __forceinline__ __half saturated_half(float x) { return __float2half_rn(fminf(fmaxf(x, -65504.0f), 65504.0f)); }

// What a finished sum becomes. `row` counts the rows of the packed weight, `unit` is what codes were multiplied as.
__device__ __forceinline__ float finished(const PackedView& w, const LinearCall& c, int64_t row, float sum, float unit) {
  float y = sum * w.factor * unit;
  if (w.layout.form == ScaleForm::Row) y *= w.row_scale[row];
  return c.bias ? y + c.bias[row] : y;
}
__device__ __forceinline__ void store_one(const LinearCall& c, int token, int64_t row, float y) {
  float* out = c.out + token * c.ldo + row;
  *out = c.store == Store::Residual ? *out + y : y;
}
__device__ __forceinline__ void store_pair(const LinearCall& c, int token, int64_t row, float gate, float up) {
  static_cast<__half*>(c.out16.data)[activation_at(c.out16, token, row)] = saturated_half(silu(gate) * up);
}

// One tile's way through a unit in linear_small: as TileWork, with fewer instructions, which is what it is bound by. GS: steps of 16
// columns that share a scale (0: none does).
template <int Bits, int Form, int NT, int GS>
struct SmallWork {
  static constexpr int kHalves = Form >= int(ScaleForm::Super6) ? 4 : 2;
  static constexpr bool kMin = has_min(Form), kZero = Bits < 16 && !kMin;
  static constexpr bool kLate = kZero && GS >= 2;  // the code that stands for 0, times the sum of the inputs, comes off a group's sum
  static constexpr bool kOnes = kMin || kLate;     // sums of inputs are needed
  static constexpr int kSecond = Bits == 4 ? 16 : 1;  // 4-bit codes of rows 8 and up stay where they lie: so many times too large
  Half64<Bits> half;
  UnitScales<Form> super;
  const uint16_t* plain;  // scales of the lane's first row
  uint32_t zero[2];       // as codes of two columns
  float late[2];

  __device__ __forceinline__ void begin(const PackedLayout& l) {
    zero[0] = uint32_t(l.zero) * 0x00010001u, zero[1] = zero[0] * kSecond;
    late[0] = float(l.zero), late[1] = late[0] * float(kSecond);
  }
  __device__ __forceinline__ void load_scales(const uint8_t* from, int lane) {
    if constexpr (Form >= int(ScaleForm::Super6)) super.load(from, lane);
    else plain = reinterpret_cast<const uint16_t*>(from) + (lane >> 2);
  }
  template <int S, int I>
  __device__ __forceinline__ uint32_t fragment() const {
    if constexpr (Bits == 4) {
      const uint32_t w = S == 0 ? half.four.x : S == 1 ? half.four.y : S == 2 ? half.four.z : half.four.w;
      return (I < 2 ? w : w >> 8) & (I % 2 == 0 ? 0x000f000fu : 0x00f000f0u);
    } else {
      return half.template get<S, I>();
    }
  }
  // Of tiles that share their inputs the first adds up `ones`.
  template <int H, int S, bool First>
  __device__ __forceinline__ void step(const PackedLayout& l, const uint2 (&b)[NT], Sums<NT>& sums, float (&ones)[NT][4]) {
    constexpr int k = H * 4 + S;  // step within the unit
    constexpr bool kOpens = GS > 0 && k % (GS > 0 ? GS : 1) == 0;
    uint32_t a[4] = {fragment<S, 0>(), fragment<S, 1>(), fragment<S, 2>(), fragment<S, 3>()};
    if constexpr (kZero && !kLate) {
      if constexpr (Form == kPlainForm && GS == 1)
        if (l.form == ScaleForm::HalfZero) zero[0] = plain[128 + k * 16] * 0x00010001u, zero[1] = plain[128 + k * 16 + 8] * (0x00010001u * kSecond);
#pragma unroll
      for (int i = 0; i < 4; ++i) a[i] = minus(a[i], zero[i & 1]);
    }
#pragma unroll
    for (int j = 0; j < NT; ++j) {
      if constexpr (kOpens) multiply_first(sums.codes[j], a[0], a[1], a[2], a[3], b[j]);
      else multiply(sums.codes[j], a[0], a[1], a[2], a[3], b[j]);
      if constexpr (kOnes && First) {
        constexpr uint32_t one = 0x00010001u;
        if constexpr (kOpens) multiply_first(ones[j], one, one, one, one, b[j]);
        else multiply(ones[j], one, one, one, one, b[j]);
      }
    }
    if constexpr (GS > 0)
      if constexpr ((k + 1) % GS == 0) close_group<k / GS>(l, sums, ones);
  }
  template <int G>
  __device__ __forceinline__ void close_group(const PackedLayout& l, Sums<NT>& sums, const float (&ones)[NT][4]) {
    GroupScale g;
    if constexpr (Form >= int(ScaleForm::Super6)) {
      g = super.group(G);
    } else {
      constexpr int kNext = 16 * (GS > 0 ? 8 / GS : 8);  // from a scale to its zero point or minimum
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        g.scale[r] = half_bits(plain[G * 16 + 8 * r]);
        if constexpr (kMin) g.min[r] = half_bits(plain[kNext + G * 16 + 8 * r]);
        if constexpr (kLate)
          if (l.form == ScaleForm::HalfZero) late[r] = small_int(plain[kNext + G * 16 + 8 * r] * (r == 0 ? 1 : kSecond));
      }
    }
    g.scale[1] *= 1.0f / kSecond;
#pragma unroll
    for (int j = 0; j < NT; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int r = i >> 1;
        const float codes = kLate ? fmaf(-late[r], ones[j][i], sums.codes[j][i]) : sums.codes[j][i];
        sums.total[j][i] = fmaf(g.scale[r], codes, sums.total[j][i]);
        if constexpr (kMin) sums.total[j][i] = fmaf(-g.min[r], ones[j][i], sums.total[j][i]);
      }
  }
  // One scale a row, or none: the codes' sums are the result.
  __device__ __forceinline__ void finish(Sums<NT>& sums) const {
    if constexpr (GS == 0)
#pragma unroll
      for (int j = 0; j < NT; ++j)
#pragma unroll
        for (int i = 0; i < 4; ++i) sums.total[j][i] = sums.codes[j][i] * (i < 2 ? 1.0f : 1.0f / kSecond);
  }
};

// Keeps a value in its register: it would be worked out again and again in the loop.
template <class T>
__device__ __forceinline__ void keep(T& v) { asm volatile("" : "+r"(v)); }

template <int Bits, int Form, int NT, int RT, int Warps, int Stages>
__global__ void __launch_bounds__(Warps * 32) linear_small(const PackedView w, const LinearCall c, const TileShape shape, const int blocks_a_tile) {
  extern __shared__ __align__(128) uint8_t shared[];
  __shared__ __align__(8) uint64_t barriers[Warps * Stages];
  constexpr int kHalves = Form >= int(ScaleForm::Super6) ? 4 : 2, kHalfBytes = Half64<Bits>::kBytes;
  const PackedLayout& l = w.layout;
  const int warp = __shfl_sync(~0u, int(threadIdx.x >> 5), 0), m = c.m;  // (so that it is known to be one for the whole warp)
  int lane = threadIdx.x & 31;
  const int rank = blocks_a_tile > 1 ? int(blockIdx.x) & 1 : 0, tile0 = int(blockIdx.x) / blocks_a_tile * RT;
  const int first = rank * Warps + warp, turns = blocks_a_tile * Warps;
  const int mine = first < shape.units ? (shape.units - first + turns - 1) / turns : 0;
  const int tile_bytes = shape.unit_bytes, panel_bytes = m * 128, stage_bytes = RT * tile_bytes + kHalves * panel_bytes;
  const int stages = warp * Stages * stage_bytes;  // of this warp, from `shared`
  const uint32_t base = shared_address(shared), barrier = shared_address(barriers + warp * Stages);
  keep(lane);
  const uint64_t policy = read_once_policy();
  if (kBulkCopies && lane == 0) {
#pragma unroll
    for (int i = 0; i < Stages; ++i) barrier_init(barrier + 8 * i, 1);
    barriers_visible();
  }
  __syncwarp();
  // The tiles of a block lie side by side in a unit, and so do the panels of a unit's inputs: one copy each.
  const uint8_t* weights = w.data + ((int64_t(tile0 >> 3) * shape.units + first) * 8 + (tile0 & 7)) * tile_bytes;
  const uint8_t* panels = static_cast<const uint8_t*>(c.x.data) + int64_t(first) * kHalves * panel_bytes;
  const int64_t weights_step = int64_t(turns) * 8 * tile_bytes, panels_step = int64_t(turns) * kHalves * panel_bytes;
  const auto fetch_weight = [&](int slot) {  // the next unit's, and so on
    const uint32_t to = base + uint32_t(stages + slot * stage_bytes);
    if constexpr (kBulkCopies) {
      if (lane == 0) {
        barrier_expect(barrier + 8 * slot, stage_bytes);
        bulk_copy(to, weights, RT * tile_bytes, barrier + 8 * slot, policy);
      }
    } else {
      copy_pieces(to, weights, RT * tile_bytes, lane, 32);
    }
    weights += weights_step;
  };
  const auto fetch_input = [&](int slot) {
    const uint32_t to = base + uint32_t(stages + slot * stage_bytes + RT * tile_bytes);
    if constexpr (kBulkCopies) {
      if (lane == 0) bulk_copy(to, panels, kHalves * panel_bytes, barrier + 8 * slot);
    } else {
      copy_pieces(to, panels, kHalves * panel_bytes, lane, 32);
    }
    panels += panels_step;
  };
#pragma unroll
  for (int i = 0; i < Stages; ++i)
    if (i < mine) fetch_weight(i);
  dependency_release();
  dependency_wait();
#pragma unroll
  for (int i = 0; i < Stages; ++i) {
    if (i < mine) fetch_input(i);
    if constexpr (!kBulkCopies) copies_commit();
  }
  // The first value that this thread will add to is read now, so that its way from memory is over by then.
  const auto place = [&](int i, int& n, int& r) { n = RT == 1 ? i >> 4 : i >> 5, r = RT == 1 ? 0 : (i >> 4) & 1; };
  float before = 0;
  if (c.store == Store::Residual && rank == 0 && threadIdx.x < 16 * m * RT) {
    int n, r;
    place(threadIdx.x, n, r);
    const int64_t row = int64_t(tile0 + r) * 16 + (threadIdx.x & 15);
    if (row < l.N) before = c.out[n * c.ldo + row];
  }
  Sums<NT> sums[RT];
#pragma unroll
  for (int r = 0; r < RT; ++r) clear(sums[r].total), clear(sums[r].codes);
  // Rows beyond m repeat the last: what comes of them is not stored. From an input panel to what the lane loads of its two pairs of steps:
  uint32_t at[NT][2];
#pragma unroll
  for (int j = 0; j < NT; ++j)
#pragma unroll
    for (int p = 0; p < 2; ++p) {
      const int n = min(8 * j + (lane & 7), m - 1);
      at[j][p] = base + uint32_t(RT * tile_bytes + n * 128 + (((4 * p + (lane >> 3)) ^ (n & 7)) << 4));
      keep(at[j][p]);
    }
  with_group_steps<Bits, Form>(shape.group_steps, [&]<int GS>() {
    float ones[NT][4];
    SmallWork<Bits, Form, NT, GS> work[RT];
#pragma unroll
    for (int r = 0; r < RT; ++r) work[r].begin(l);
    int slot = 0, stage_at = stages;
    uint32_t phase = 0;
    for (int i = 0; i < mine; ++i) {
      if constexpr (kBulkCopies) barrier_wait(barrier + 8 * slot, phase);
      else copies_wait<Stages - 1>();
      __syncwarp();
      const uint8_t* stage = shared + stage_at;
#pragma unroll
      for (int r = 0; r < RT; ++r) work[r].load_scales(stage + r * tile_bytes + kHalves * kHalfBytes, lane);
      const auto half = [&]<int H>() {
#pragma unroll
        for (int r = 0; r < RT; ++r) work[r].half.load(stage + r * tile_bytes + H * kHalfBytes, lane);
        const auto two_steps = [&]<int P>() {
          uint2 b[2][NT];
#pragma unroll
          for (int j = 0; j < NT; ++j) {
            uint32_t v[4];
            load_matrices(v, at[j][P] + uint32_t(stage_at + H * panel_bytes));
            b[0][j] = make_uint2(v[0], v[1]), b[1][j] = make_uint2(v[2], v[3]);
          }
          work[0].template step<H, 2 * P, true>(l, b[0], sums[0], ones);
          if constexpr (RT == 2) work[1].template step<H, 2 * P, false>(l, b[0], sums[1], ones);
          work[0].template step<H, 2 * P + 1, true>(l, b[1], sums[0], ones);
          if constexpr (RT == 2) work[1].template step<H, 2 * P + 1, false>(l, b[1], sums[1], ones);
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
      __syncwarp();
      if (i + Stages < mine) fetch_weight(slot), fetch_input(slot);
      if constexpr (!kBulkCopies) copies_commit();
      stage_at += stage_bytes;
      if (++slot == Stages) slot = 0, stage_at = stages, phase ^= 1;
    }
#pragma unroll
    for (int r = 0; r < RT; ++r) work[r].finish(sums[r]);
  });
  if constexpr (!kBulkCopies) copies_wait<0>();
  __syncthreads();

  constexpr int kTokens = 8 * NT;
  float* partial = reinterpret_cast<float*>(shared);  // (warp, tile, token, 16 rows)
#pragma unroll
  for (int r = 0; r < RT; ++r) {
#pragma unroll
    for (int j = 0; j < NT; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = (lane >> 2) + 8 * (i >> 1), n = 8 * j + 2 * (lane & 3) + (i & 1);
        if (n < m) partial[((warp * RT + r) * kTokens + n) * 16 + row] = sums[r].total[j][i];
      }
  }
  if (blocks_a_tile > 1) cluster_wait();
  else __syncthreads();
  constexpr float unit = Bits < 16 ? kCodeUnit : 1.0f;
  const auto total = [&](int r, int n, int row) {
    float sum = 0;
#pragma unroll
    for (int k = 0; k < Warps; ++k) sum += partial[((k * RT + r) * kTokens + n) * 16 + row];
    if (blocks_a_tile > 1)
#pragma unroll
      for (int k = 0; k < Warps; ++k) sum += cluster_read(partial + ((k * RT + r) * kTokens + n) * 16 + row, 1);
    return sum;
  };
  if (RT == 2 && c.store == Store::SiluPair) {  // the tiles are gate and up
    for (int i = threadIdx.x; i < 16 * m && rank == 0; i += Warps * 32) {
      const int row = i & 15, n = i >> 4;
      const int64_t gate_row = int64_t(tile0) * 16 + row, out_row = int64_t(tile0) * 8 + row;
      if (out_row < l.N / 2) store_pair(c, n, out_row, finished(w, c, gate_row, total(0, n, row), unit), finished(w, c, gate_row + 16, total(1, n, row), unit));
    }
  } else if (rank == 0) {
    for (int i = threadIdx.x; i < 16 * m * RT; i += Warps * 32) {
      const int row = i & 15;
      int n, r;
      place(i, n, r);
      const int64_t out_row = int64_t(tile0 + r) * 16 + row;
      if (out_row >= l.N) continue;
      const float y = finished(w, c, out_row, total(r, n, row), unit);
      if (i == threadIdx.x && c.store == Store::Residual) c.out[n * c.ldo + out_row] = before + y;
      else store_one(c, n, out_row, y);
    }
  }
  if (blocks_a_tile > 1) cluster_wait();  // the other block's memory stays until it has been read
}

}  // namespace teeny::cuda
