// y = x W^T for a few tokens: as many bytes in flight as the memory wants. A block has RT tiles of 16 rows; its warps take
// turns at the units along K, each with a ring of its own for weights and inputs, and add up at the end. Where there are
// few tiles, two blocks of a cluster share them (`blocks_a_tile`), so that all multiprocessors have about as much to do.
#pragma once
#include "kernels/cuda/linear_one.cuh"
#include "kernels/cuda/norm_between.cuh"

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

__device__ __forceinline__ float silu(float x) { return __fdividef(x, 1.0f + __expf(-x)); }
__device__ __forceinline__ __half saturated_half(float x) { return __float2half_rn(fminf(fmaxf(x, -65504.0f), 65504.0f)); }

// What a finished sum becomes. `row` counts the rows of the packed weight, `unit` is what codes (and inputs) were multiplied as.
__device__ __forceinline__ float finished(const PackedView& w, float row_scale, float bias, float sum, float unit) { return fmaf(sum * w.factor * unit, row_scale, bias); }
__device__ __forceinline__ float row_scale(const PackedView& w, int64_t row) { return w.layout.form == ScaleForm::Row ? w.row_scale[row] : 1.0f; }
__device__ __forceinline__ float finished(const PackedView& w, const LinearCall& c, int64_t row, float sum, float unit) {
  return finished(w, row_scale(w, row), c.bias ? c.bias[row] : 0.0f, sum, unit);
}
__device__ __forceinline__ void store_one(const LinearCall& c, int token, int64_t row, float y) {
  float* out = c.out + token * c.ldo + row;
  *out = c.store == Store::Residual ? *out + y : y;
}
__device__ __forceinline__ void store_pair(const LinearCall& c, int token, int64_t row, float gate, float up) {
  static_cast<__half*>(c.out16.data)[activation_at(c.out16, token, row)] = saturated_half(silu(gate) * up);
}

// One tile's way through a unit in linear_small: as TileWork, with fewer instructions, which is what it is bound by. GS: steps of 16
// columns that share a scale (0: none does). One: only the first column of sums, one token, is looked at.
template <int Bits, int Form, int NT, int GS, bool One>
struct SmallWork {
  static constexpr int kHalves = Form >= int(ScaleForm::Super6) ? 4 : 2;
  static constexpr bool kMin = has_min(Form), kZero = Bits < 16 && !kMin;
  static constexpr bool kLate = kZero && GS >= 2;  // the code that stands for 0, times the sum of the inputs, comes off a group's sum
  static constexpr bool kOnes = kMin || kLate;     // sums of inputs are needed
  static constexpr int kSecond = Half64<Bits>::kSecond, kColumns = One ? 2 : 1;
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
  // Of tiles that share their inputs the first adds up `ones`.
  template <int H, int S, bool First>
  __device__ __forceinline__ void step(const PackedLayout& l, const uint2 (&b)[NT], Sums<NT>& sums, float (&ones)[NT][4]) {
    constexpr int k = H * 4 + S;  // step within the unit
    constexpr bool kOpens = GS > 0 && k % (GS > 0 ? GS : 1) == 0;
    uint32_t a[4] = {half.template fragment<S, 0>(), half.template fragment<S, 1>(), half.template fragment<S, 2>(), half.template fragment<S, 3>()};
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
      for (int i = 0; i < 4; i += kColumns) {
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

// One: m is 1; a warp's inputs come at once, and the product may do the norm before or after it. Else inputs come with the weights.
template <int Bits, int Form, int RT, int Warps, int Stages, bool One>
__global__ void __launch_bounds__(Warps * 32, 5) linear_small(const PackedView w, const LinearCall c, const TileShape shape, const int blocks_a_tile, const int units_a_warp) {
  extern __shared__ __align__(128) uint8_t shared[];
  __shared__ __align__(8) uint64_t barriers[Warps * (Stages + One)];
  constexpr bool kSuper = Form >= int(ScaleForm::Super6);
  constexpr int kHalves = kSuper ? 4 : 2, kHalfBytes = Half64<Bits>::kBytes;
  const PackedLayout& l = w.layout;
  const int warp = __shfl_sync(~0u, int(threadIdx.x >> 5), 0), m = One ? 1 : c.m;  // (so that it is known to be one for the whole warp)
  int lane = threadIdx.x & 31;
  const int rank = blocks_a_tile > 1 ? int(blockIdx.x) & 1 : 0, tile0 = (blocks_a_tile > 1 ? int(blockIdx.x) >> 1 : int(blockIdx.x)) * RT;
  const int first = (rank * Warps + warp) * units_a_warp, mine = max(0, min(units_a_warp, shape.units - first));
  const int tile_bytes = shape.unit_bytes, panel_bytes = m * 128, unit_input = kHalves * panel_bytes, stage_bytes = RT * tile_bytes + (One ? 0 : unit_input);
  const int stages = warp * Stages * stage_bytes;  // of this warp, from `shared`
  const int all_inputs = Warps * Stages * stage_bytes + warp * units_a_warp * unit_input;
  const uint32_t base = shared_address(shared), barrier = shared_address(barriers + warp * (Stages + One));
  keep(lane);
  const uint64_t policy = read_once_policy();
  if (kBulkCopies && lane == 0) {
#pragma unroll
    for (int i = 0; i < Stages + One; ++i) barrier_init(barrier + 8 * i, 1);
    barriers_visible();
  }
  __syncwarp();
  // The tiles of a block lie side by side in a unit, and so do the panels of a unit's inputs: one copy each.
  const uint8_t* weights = w.data + ((int64_t(tile0 >> 3) * shape.units + first) * 8 + (tile0 & 7)) * tile_bytes;
  const uint8_t* inputs = static_cast<const uint8_t*>(c.x.data) + int64_t(first) * unit_input;
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
    weights += 8 * tile_bytes;
  };
  const auto fetch_input = [&](int slot) {
    if constexpr (One) return;
    const uint32_t to = base + uint32_t(stages + slot * stage_bytes + RT * tile_bytes);
    if constexpr (kBulkCopies) {
      if (lane == 0) bulk_copy(to, inputs, unit_input, barrier + 8 * slot);
    } else {
      copy_pieces(to, inputs, unit_input, lane, 32);
    }
    inputs += unit_input;
  };
#pragma unroll
  for (int i = 0; i < Stages; ++i)
    if (i < mine) fetch_weight(i);
  dependency_release();
  // What the sum that this thread finishes first needs is read now, so that its way from memory is over by then.
  const int own_row = tile0 * 16 + int(threadIdx.x & (16 * RT - 1)), own_token = int(threadIdx.x) / (16 * RT);
  const bool own = rank == 0 && own_token < m && own_row < l.N;
  const float own_scale = own ? row_scale(w, own_row) : 1.0f, own_bias = own && c.bias ? c.bias[own_row] : 0.0f;
  const float own_gain = One && own && c.norm.weight ? c.norm.weight[own_row] : 0.0f;
  if (c.ahead.m > 0) bring_cache(c.ahead, blockIdx.x * (Warps * 32) + threadIdx.x, gridDim.x * (Warps * 32));
  dependency_wait();
  if constexpr (One) {
    if constexpr (kBulkCopies) {
      if (lane == 0 && mine > 0) {
        barrier_expect(barrier + 8 * Stages, mine * unit_input);
        bulk_copy(base + uint32_t(all_inputs), inputs, mine * unit_input, barrier + 8 * Stages);
      }
    } else {
      copy_pieces(base + uint32_t(all_inputs), inputs, mine * unit_input, lane, 32);
    }
  }
#pragma unroll
  for (int i = 0; i < Stages; ++i) {
    if (i < mine) fetch_input(i);
    if constexpr (!kBulkCopies) copies_commit();
  }
  const float before = own && c.store == Store::Residual ? c.out[own_token * c.ldo + own_row] : 0.0f;
  const bool norms = One && c.norm.squares != nullptr && rank == 0;
  SquareShare share;
  if (norms) share.load(c.norm.squares, int(c.norm.weight ? l.N : l.K), threadIdx.x, Warps * 32);
  const auto for_units = [&](auto&& body) {  // body(place of a unit's weights, place of its inputs): bytes from `shared`
    int slot = 0, stage_at = stages, input_at = all_inputs;
    uint32_t phase = 0;
    if (One && kBulkCopies && mine > 0) barrier_wait(barrier + 8 * Stages, 0);
    for (int i = 0; i < mine; ++i) {
      if constexpr (kBulkCopies) barrier_wait(barrier + 8 * slot, phase);
      else copies_wait<Stages - 1>();
      __syncwarp();
      body(stage_at, One ? input_at : stage_at + RT * tile_bytes);
      __syncwarp();
      if (i + Stages < mine) fetch_weight(slot), fetch_input(slot);
      if constexpr (!kBulkCopies) copies_commit();
      stage_at += stage_bytes, input_at += unit_input;
      if (++slot == Stages) slot = 0, stage_at = stages, phase ^= 1;
    }
  };
  Sums<1> sums[RT];
  if constexpr (One && kSuper) {
    OneToken<Bits, Form, RT> work;
    work.begin(l, lane);
    for_units([&](int stage_at, int input_at) { work.unit(shared + stage_at, tile_bytes, base + uint32_t(input_at), lane); });
#pragma unroll
    for (int r = 0; r < RT; ++r) sums[r].total[0][0] = work.row_sum(r, 0), sums[r].total[0][2] = work.row_sum(r, 1);
  } else {
#pragma unroll
    for (int r = 0; r < RT; ++r) clear(sums[r].total), clear(sums[r].codes);
    // Rows beyond m repeat the last: what comes of them is not stored. From an input panel to what the lane loads of its two pairs of steps:
    uint32_t at[2];
#pragma unroll
    for (int p = 0; p < 2; ++p) {
      const int n = min(lane & 7, m - 1);
      at[p] = base + uint32_t(n * 128 + (((4 * p + (lane >> 3)) ^ (n & 7)) << 4));
      keep(at[p]);
    }
    with_group_steps<Bits, Form>(shape.group_steps, [&]<int GS>() {
      float ones[1][4];
      SmallWork<Bits, Form, 1, GS, One> work[RT];
#pragma unroll
      for (int r = 0; r < RT; ++r) work[r].begin(l);
      for_units([&](int stage_at, int input_at) {
        const uint8_t* stage = shared + stage_at;
#pragma unroll
        for (int r = 0; r < RT; ++r) work[r].load_scales(stage + r * tile_bytes + kHalves * kHalfBytes, lane);
        const auto half = [&]<int H>() {
#pragma unroll
          for (int r = 0; r < RT; ++r) work[r].half.load(stage + r * tile_bytes + H * kHalfBytes, lane);
          const auto two_steps = [&]<int P>() {
            uint32_t v[4];
            load_matrices(v, at[P] + uint32_t(input_at + H * panel_bytes));
            const uint2 b[2][1] = {{make_uint2(v[0], v[1])}, {make_uint2(v[2], v[3])}};
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
      });
#pragma unroll
      for (int r = 0; r < RT; ++r) work[r].finish(sums[r]);
    });
  }
  if constexpr (!kBulkCopies) copies_wait<0>();
  __syncthreads();

  float* partial = reinterpret_cast<float*>(shared);  // (warp, tile, token, 16 rows)
  constexpr int kTokens = One ? 1 : 8;
#pragma unroll
  for (int r = 0; r < RT; ++r)
#pragma unroll
    for (int i = 0; i < 4; i += One ? 2 : 1) {
      const int row = (lane >> 2) + 8 * (i >> 1), n = 2 * (lane & 3) + (i & 1);
      if (n < m) partial[((warp * RT + r) * kTokens + n) * 16 + row] = sums[r].total[0][i];
    }
  __shared__ float squares[Warps];
  if (norms) {
    const float sum = share.of_warp();
    if (lane == 0) squares[warp] = sum;
  }
  if (blocks_a_tile > 1) cluster_wait();
  else __syncthreads();
  const auto total = [&](int r, int n, int row) {
    float sum = 0;
#pragma unroll
    for (int k = 0; k < Warps; ++k) sum += partial[((k * RT + r) * kTokens + n) * 16 + row];
    if (blocks_a_tile > 1)
#pragma unroll
      for (int k = 0; k < Warps; ++k) sum += cluster_read(partial + ((k * RT + r) * kTokens + n) * 16 + row, 1);
    return sum;
  };
  float unit = Bits < 16 ? kCodeUnit : 1.0f, mean = 0;
  if (norms) {
#pragma unroll
    for (int k = 0; k < Warps; ++k) mean += squares[k];
    mean = __fdividef(mean, float(int(c.norm.weight ? l.N : l.K))) + c.norm.eps;
    if (!c.norm.weight) unit *= rsqrtf(mean) * *c.norm.divisor;
  }
  if (RT == 2 && c.store == Store::SiluPair) {  // the tiles are gate and up
    for (int i = threadIdx.x; i < 16 * m && rank == 0; i += Warps * 32) {
      const int row = i & 15, n = i >> 4;
      const int64_t gate_row = int64_t(tile0) * 16 + row, out_row = int64_t(tile0) * 8 + row;
      if (out_row < l.N / 2) store_pair(c, n, out_row, finished(w, c, gate_row, total(0, n, row), unit), finished(w, c, gate_row + 16, total(1, n, row), unit));
    }
  } else if (rank == 0) {
    float y = 0;
    if (own) {
      y = finished(w, own_scale, own_bias, total(RT == 1 ? 0 : (threadIdx.x >> 4) & 1, own_token, threadIdx.x & 15), unit) + before;
      c.out[own_token * c.ldo + own_row] = y;
    }
    if constexpr (One) {
      if (norms && c.norm.weight && warp == 0) {
        const float factor = rsqrtf(mean) * (1 / kHeadroom);
        if (own) static_cast<__half*>(c.norm.x.data)[activation_at(c.norm.x, 0, own_row)] = saturated_half(y * own_gain * factor);
        if (own && own_row == 0) *c.norm.divisor = kHeadroom * mean * rsqrtf(mean);
        float square = y * y;
#pragma unroll
        for (int d = 8; d > 0; d >>= 1) square += __shfl_xor_sync(~0u, square, d);
        if (own && (lane & 15) == 0) c.norm.squares_out[own_row / 16] = square;
      }
    } else {
      for (int i = int(threadIdx.x) + Warps * 32; i < 16 * RT * m; i += Warps * 32) {
        const int n = i / (16 * RT);
        const int64_t row = int64_t(tile0) * 16 + i % (16 * RT);
        if (row < l.N) store_one(c, n, row, finished(w, c, row, total(RT == 1 ? 0 : (i >> 4) & 1, n, i & 15), unit));
      }
    }
  }
  if (blocks_a_tile > 1) cluster_wait();  // the other block's memory stays until it has been read
}

}  // namespace teeny::cuda
