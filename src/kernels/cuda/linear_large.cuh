// y = x W^T for hundreds of tokens and more on Hopper (wgmma): weights are decoded into registers and never stored. A tile is 128 rows
// times 128 tokens; blocks stay and take tile after tile, two of a cluster with the same tokens, which each of them
// brings one half of into the shared memory of both. One warp fills the rings; two warpgroups multiply, each 64 rows. Where the tiles of
// the last round are few, they are cut into halves or quarters of their tokens, so that more clusters share them.
//
// One scale for 128 columns, or for a row: codes are multiplied as they are, small integers, and the sums are scaled in f32. That is
// exact, and the matrix units take about an eighth less power for small integers than for scaled weights, and power is what decides
// their clock. Else weights are scaled and rounded to f16 first: one fused multiply and add of a code that stands in the upper bits of
// an f16's mantissa. Scales of the super-block forms, which take as many instructions as the weights themselves, are decoded by two
// more warps, once for all who need them.
#pragma once
#include <algorithm>

#include "kernels/cuda/linear_large_store.cuh"
#include "kernels/cuda/wgmma.cuh"

namespace teeny::cuda {

inline constexpr int kLargeCluster = 2, kLargeThreads = 384;

// Scales of a unit as f16 pairs (scale, what is added), for weights as raised code * 2^-24 * scale + added:
// [tile][group][8 rows][row, row + 8].
template <int Form>
struct ScaleTable {
  static constexpr int kGroups = 256 / std::max(UnitScales<Form>::kGroup, 1), kTile = kGroups * 64 + 64;
  // The pair of rows `row` and row + 8 of a tile, all groups.
  template <int Bits>
  static __device__ __forceinline__ void fill(uint8_t* table, const uint8_t* scales, int row, int zero, float by) {
    UnitScales<Form> s;
    s.load(scales, 4 * row);
    constexpr float kOne = float(1 << (24 - Half64<Bits>::kRaised));
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const GroupScale from = s.group(g);
      __half2 to[2];
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        constexpr float kSecond = float(Half64<Bits>::kRaisedSecond);
        const float one = r == 0 ? kOne : kOne / kSecond;
        const __half scale = __float2half_rn(from.scale[r] * (by * one));
        to[r] = __halves2half2(scale, __float2half_rn(has_min(Form) ? -from.min[r] * by : __half2float(scale) * (-float(zero) / one)));
      }
      *reinterpret_cast<uint2*>(table + g * 64 + row * 8) = *reinterpret_cast<const uint2*>(to);
    }
  }
};

// The rings: units of weights (128 rows) with their decoded scales, pieces of inputs (128 columns of 128 tokens), and what the ends
// of tiles pass through.
template <int Bits, int Form>
struct LargeRings {
  static constexpr bool kTable = Form >= int(ScaleForm::Super6);
  static constexpr int kPieces = kTable ? 2 : 1;                          // of a unit
  static constexpr int kCodes = 8 * 2 * kPieces * Half64<Bits>::kBytes;   // of a unit
  // A unit is on its way, another one's scales are being decoded, and a third is multiplied: three, if there is room.
  static constexpr int kInput = kLargeTokens * 256, kInputs = kCodes <= 16384 ? 4 : 3;
  static constexpr int kWeights = kCodes <= 8192 ? 4 : kCodes <= 24576 ? 3 : 2;
  static constexpr int kTableTile = ScaleTable<Form>::kTile, kTableUnit = kTable ? 8 * kTableTile : 0;
  static constexpr int bytes(int unit_bytes) { return 1024 + kInputs * kInput + 8 * kLargeStage + kWeights * (kTableUnit + 8 * unit_bytes); }
};

// A warp's way through its tile's units: what comes next out of shared memory, and fragments of two halves for the matrix unit. GS: steps of
// 16 columns that share a scale; 0: one scale a row; kSomeSteps: known at run time; kSomeZeros: the same with zero points that differ, whose
// difference from a code is taken before it is scaled (their product with a scale would be rounded, the same way for a whole group).
// kEightSteps, kEightZeros: the same for groups of 128.
inline constexpr int kSomeSteps = -1, kSomeZeros = -2, kEightSteps = -3, kEightZeros = -4;
template <int Bits, int Form, int GS>
struct LargeWork {
  static constexpr bool kCodes = Form == kPlainForm && (GS == 8 || GS == 0);               // codes less their zero point, as f16 subnormals,
  static constexpr int kSecond = kCodes ? Half64<Bits>::kSecond : 1;                       // those of rows 8 and up so many times as large
  static constexpr bool kGroups = kCodes && GS == 8;                                       // sums of a unit are scaled
  static constexpr float kUnit = kCodes && !kGroups ? kCodeUnit : 1.0f;
  static constexpr bool kTable = Form >= int(ScaleForm::Super6);
  static constexpr bool kZeros = GS == kSomeZeros || GS == kEightZeros, kEight = GS == kEightSteps || GS == kEightZeros;
  static constexpr int kHalves = kTable ? 4 : 2;
  Half64<Bits> codes[2];
  uint32_t a[2][4][4];
  UnitScales<Form> scales;
  uint32_t zero[2];
  float next[2], scale[2];
  const uint8_t *unit, *table;  // table: at the lane's rows
  __half2 by[2];                // (scale, what is added) of the current group, as in ScaleTable
  float to_unit;
  int steps, step_bits;

  __device__ __forceinline__ void begin(const PackedView& w, const TileShape& shape) {
    to_unit = 1.0f / w.unit;
    scales.prepare(w.layout);
    zero[0] = uint32_t(w.layout.zero) * 0x00010001u, zero[1] = zero[0] * kSecond;
    steps = shape.group_steps, step_bits = __ffs(steps) - 1;
  }
  template <int P>
  __device__ __forceinline__ void load_piece(int lane) {
    codes[0].load(unit + 2 * P * Half64<Bits>::kBytes, lane);
    codes[1].load(unit + (2 * P + 1) * Half64<Bits>::kBytes, lane);
  }
  __device__ __forceinline__ void load_unit(const PackedLayout& l, const uint8_t* from, int lane) {
    unit = from;
    load_piece<0>(lane);
    if constexpr (!kTable) scales.load(unit + kHalves * Half64<Bits>::kBytes, lane);
    if constexpr (kGroups) {
      const GroupScale g = scales.group(0);
      next[0] = g.scale[0] * kCodeUnit, next[1] = g.scale[1] * (kCodeUnit / kSecond);
      if (l.form == ScaleForm::HalfZero) {
        scales.zeros(0, zero);
        zero[1] *= kSecond;
      }
    }
  }
  template <int H>
  __device__ __forceinline__ void decode(const PackedLayout& l) {
    step<H, 0>(l), step<H, 1>(l), step<H, 2>(l), step<H, 3>(l);
  }
  __device__ __forceinline__ void open_group() { scale[0] = next[0], scale[1] = next[1]; }
  template <int N>
  __device__ __forceinline__ void add_group(const float (&sums)[N], float (&total)[N]) const {
#pragma unroll
    for (int i = 0; i < N; ++i) total[i] = fmaf(sums[i], scale[(i >> 1) & 1], total[i]);
  }

 private:
  template <int H, int S>
  __device__ __forceinline__ void step(const PackedLayout& l) {
    const auto& half = codes[H & 1];
    auto& to = a[H & 1][S];
    if constexpr (kCodes) {
      to[0] = minus(half.template fragment<S, 0>(), zero[0]), to[1] = minus(half.template fragment<S, 1>(), zero[1]);
      to[2] = minus(half.template fragment<S, 2>(), zero[0]), to[3] = minus(half.template fragment<S, 3>(), zero[1]);
      return;
    }
    constexpr int k = 4 * H + S;
    if constexpr (kTable) {
      if constexpr (k % GS == 0) {
        const uint2 rows = *reinterpret_cast<const uint2*>(table + k / GS * 64);
        by[0] = *reinterpret_cast<const __half2*>(&rows.x), by[1] = *reinterpret_cast<const __half2*>(&rows.y);
      }
    } else if constexpr (kEight) {
      if constexpr (k == 0) open_scales(l, 0);
    } else if ((k & (steps - 1)) == 0) {
      open_scales(l, k >> step_bits);
    }
    to[0] = half.template raised<S, 0>(), to[1] = half.template raised<S, 1>();
    to[2] = half.template raised<S, 2>(), to[3] = half.template raised<S, 3>();
#pragma unroll
    for (int i = 0; i < 4; ++i) {  // (an operand that is one half twice costs nothing)
      if constexpr (kZeros) to[i] = minus(to[i], zero[i & 1]);
      const __half2 codes_of = *reinterpret_cast<const __half2*>(&to[i]);
      const __half2 weights = kZeros ? __hmul2(codes_of, __low2half2(by[i & 1])) : __hfma2(codes_of, __low2half2(by[i & 1]), __high2half2(by[i & 1]));
      to[i] = *reinterpret_cast<const uint32_t*>(&weights);
    }
  }
  __device__ __forceinline__ void open_scales(const PackedLayout& l, int group) {
    const GroupScale g = scales.group(group);
    float least[2] = {g.scale[0] * float(l.zero), g.scale[1] * float(l.zero)};
    if constexpr (has_min(Form)) {
      least[0] = g.min[0], least[1] = g.min[1];
    } else if constexpr (kZeros) {
      scales.zeros(group, zero);
      zero[0] <<= Half64<Bits>::kRaised, zero[1] = zero[1] * Half64<Bits>::kRaisedSecond << Half64<Bits>::kRaised;
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      constexpr float kOne = float(1 << (24 - Half64<Bits>::kRaised)), kLater = kOne / float(Half64<Bits>::kRaisedSecond);
      by[r] = __floats2half2_rn(g.scale[r] * (to_unit * (r == 0 ? kOne : kLater)), -least[r] * to_unit);
    }
  }
};

__device__ __forceinline__ void cluster_copy(uint32_t to, const void* from, int bytes, uint32_t barrier, uint16_t blocks) {
#if defined(TEENY_WGMMA)
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], %2, [%3], %4;" ::"r"(to), "l"(from), "r"(bytes), "r"(barrier),
               "h"(blocks)
               : "memory");
#endif
}
__device__ __forceinline__ void cluster_arrive(uint32_t barrier, int rank) {
#if defined(TEENY_WGMMA)
  asm volatile("{\n.reg .b32 remote;\nmapa.shared::cluster.u32 remote, %0, %1;\nmbarrier.arrive.shared::cluster.b64 _, [remote];\n}" ::"r"(barrier), "r"(rank)
               : "memory");
#endif
}
// What four warps give away of their registers, and get.
template <int Count>
__device__ __forceinline__ void registers_down() {
#if defined(TEENY_WGMMA)
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
#endif
}
template <int Count>
__device__ __forceinline__ void registers_up() {
#if defined(TEENY_WGMMA)
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
#endif
}
// One block: where its rings lie, and what its warps do.
template <int Bits, int Form, int GS>
struct LargeBlock {
  using Rings = LargeRings<Bits, Form>;
  using Work = LargeWork<Bits, Form, GS>;
  static constexpr int N = kLargeTokens, C = kLargeCluster, kInputs = Rings::kInputs, kWeights = Rings::kWeights, kPieces = Rings::kPieces;
  static constexpr int kBarriers = 2 * kInputs + 3 * kWeights, kTableThreads = Rings::kTable ? 64 : 0;
  static constexpr bool kGroups = Work::kGroups;
  const PackedView& w;
  const LinearCall& c;
  const TileShape& shape;
  const int token_tiles, parts, warp, lane, rank, clusters, row_tiles, tiles, unit_bytes;
  uint8_t *stages, *tables, *weights;                                            // generic addresses
  uint32_t inputs, input_full, input_empty, weight_full, weight_empty, table_full;  // in shared memory

  __device__ __forceinline__ LargeBlock(const PackedView& weight, const LinearCall& call, const TileShape& tile, int tokens, int last_parts, uint8_t* shared, const uint64_t* barriers)
      : w(weight), c(call), shape(tile), token_tiles(tokens), parts(last_parts), warp(int(threadIdx.x) >> 5), lane(int(threadIdx.x) & 31), rank(int(blockIdx.x) % C), clusters(int(gridDim.x) / C),
        row_tiles(tile.tiles / 8), tiles((row_tiles + C - 1) / C * tokens), unit_bytes(8 * tile.unit_bytes) {
    const uint32_t base = shared_address(shared);
    inputs = (base + 1023) & ~1023u;
    stages = shared + (inputs - base) + kInputs * Rings::kInput, tables = stages + 8 * kLargeStage, weights = tables + kWeights * Rings::kTableUnit;
    input_full = shared_address(barriers), input_empty = input_full + 8 * kInputs;
    weight_full = input_empty + 8 * kInputs, weight_empty = weight_full + 8 * kWeights, table_full = weight_empty + 8 * kWeights;
  }
  __device__ __forceinline__ void start_barriers() const {
#pragma unroll
    for (int i = 0; i < kInputs; ++i) barrier_init(input_full + 8 * i, 1), barrier_init(input_empty + 8 * i, 8 * C);
#pragma unroll
    for (int i = 0; i < kWeights; ++i) barrier_init(weight_full + 8 * i, 1), barrier_init(weight_empty + 8 * i, 256 + kTableThreads), barrier_init(table_full + 8 * i, 64);
    barriers_visible();
  }
  // body.operator()<tokens>(row tile, first token) for each of the block's tiles. Tiles with the same rows follow each other: all clusters work on
  // few rows' weights at a time.
  template <class F>
  __device__ __forceinline__ void for_tiles(F&& body) const {
    const int mine = int(blockIdx.x) / C, rest = tiles % clusters, whole = parts > 1 ? tiles - rest : tiles;
    for (int tile = mine; tile < whole; tile += clusters) body.template operator()<N>(tile / token_tiles * C + rank, tile % token_tiles * N);
    if (parts == 1 || mine >= rest * parts) return;
    const int tile = whole + mine / parts, token0 = tile % token_tiles * N + mine % parts * (N / parts);
    if (token0 >= c.m) return;
    if (parts == 2) body.template operator()<N / 2>(tile / token_tiles * C + rank, token0);
    else body.template operator()<N / 4>(tile / token_tiles * C + rank, token0);
  }

  // One thread fills the rings.
  __device__ __forceinline__ void fetch() const {
    int slot = 0, weight_slot = 0;
    uint32_t phase = 1, weight_phase = 1;  // the first time around every slot is free
    const uint32_t weights_at = shared_address(weights);
    for_tiles([&]<int Tokens>(int row_tile, int token0) {
      constexpr int kShare = Tokens / C * 128;  // bytes of a panel
      const uint8_t* block = w.data + int64_t(min(row_tile, row_tiles - 1)) * shape.units * unit_bytes;
      const uint8_t* mine = static_cast<const uint8_t*>(c.x.data) + int64_t(token0 + rank * (Tokens / C)) * 128;
      for (int unit = 0; unit < shape.units; ++unit, block += unit_bytes) {
        barrier_wait(weight_empty + 8 * weight_slot, weight_phase);
        barrier_expect(weight_full + 8 * weight_slot, unit_bytes);
        bulk_copy(weights_at + weight_slot * unit_bytes, block, unit_bytes, weight_full + 8 * weight_slot);
        if (++weight_slot == kWeights) weight_slot = 0, weight_phase ^= 1;
#pragma unroll
        for (int piece = 0; piece < kPieces; ++piece) {
          barrier_wait(input_empty + 8 * slot, phase);
          barrier_expect(input_full + 8 * slot, Tokens * 256);
          const uint32_t to = inputs + slot * Rings::kInput + rank * kShare;
#pragma unroll
          for (int panel = 0; panel < 2; ++panel, mine += int64_t(c.x.rows) * 128) cluster_copy(to + panel * Tokens * 128, mine, kShare, input_full + 8 * slot, (1 << C) - 1);
          if (++slot == kInputs) slot = 0, phase ^= 1;
        }
      }
    });
  }

  // Two warps decode scales, a lane those of two rows of one of the block's 8 tiles.
  __device__ __forceinline__ void decode_scales() const {
    const int of = (warp - 9) * 4 + (lane >> 3);
    int slot = 0;
    uint32_t phase = 0;
    for_tiles([&]<int Tokens>(int, int) {
      for (int unit = 0; unit < shape.units; ++unit) {
        barrier_wait(weight_full + 8 * slot, phase);
        const uint8_t* scales = weights + slot * unit_bytes + (of + 1) * shape.unit_bytes - shape.scale_bytes;
        ScaleTable<Form>::template fill<Bits>(tables + slot * Rings::kTableUnit + of * Rings::kTableTile, scales, lane & 7, w.layout.zero, 1.0f / w.unit);
        barrier_arrive(table_full + 8 * slot);
        barrier_arrive(weight_empty + 8 * slot);
        if (++slot == kWeights) slot = 0, phase ^= 1;
      }
    });
  }

  // Two warpgroups multiply. What a lane carries from tile to tile:
  struct Place {
    int slot = 0, weight_slot = 0, last = -1;  // last: the piece of inputs that is still being multiplied
    uint32_t phase = 0, weight_phase = 0;
  };
  __device__ __forceinline__ void free_input(int slot) const {
    if (lane < C) cluster_arrive(input_empty + 8 * slot, lane);
  }
  __device__ __forceinline__ void next_unit(Work& work, const Place& at) const {
    barrier_wait(weight_full + 8 * at.weight_slot, at.weight_phase);
    if constexpr (Rings::kTable) {
      barrier_wait(table_full + 8 * at.weight_slot, at.weight_phase);
      work.table = tables + at.weight_slot * Rings::kTableUnit + warp * Rings::kTableTile + (lane >> 2) * 8;
    }
    work.load_unit(w.layout, weights + at.weight_slot * unit_bytes + warp * shape.unit_bytes, lane);
  }
  template <int H, int Y>
  __device__ __forceinline__ void multiply_half(const Work& work, float (&sums)[Y], int slot) const {
    const uint64_t tokens = wgmma_tokens(inputs + slot * Rings::kInput + (H & 1) * Y * 256);
    wgmma_fence();
#pragma unroll
    for (int s = 0; s < 4; ++s) Wgmma<2 * Y>::run(sums, work.a[H & 1][s], tokens + 2 * s, kGroups ? H + s : 1);
    wgmma_commit();
  }
  // Piece P of a unit: while a half is multiplied, the next one is decoded.
  template <int P, int Y>
  __device__ __forceinline__ void multiply_piece(Work& work, Place& at, float (&sums)[Y], float (&total)[Y], int unit) const {
    work.template decode<2 * P>(w.layout);
    barrier_wait(input_full + 8 * at.slot, at.phase);
    if constexpr (kGroups) {
      if (unit > 0) {
        wgmma_wait<0>();
        wgmma_settle(sums);
        free_input(at.last);
        work.add_group(sums, total);
      }
      work.open_group();
    }
    multiply_half<2 * P>(work, sums, at.slot);
    if constexpr (!kGroups) {
      wgmma_wait<1>();  // the piece before is done with
      if (at.last >= 0) free_input(at.last);
    }
    work.template decode<2 * P + 1>(w.layout);
    multiply_half<2 * P + 1>(work, sums, at.slot);
    at.last = at.slot;
    if (++at.slot == kInputs) at.slot = 0, at.phase ^= 1;
    if constexpr (P + 1 < kPieces) {
      work.template load_piece<P + 1>(lane);
    } else {
      barrier_arrive(weight_empty + 8 * at.weight_slot);  // the unit's codes are in the lane's registers
      if (++at.weight_slot == kWeights) at.weight_slot = 0, at.weight_phase ^= 1;
      if (unit + 1 < shape.units) next_unit(work, at);
    }
    wgmma_wait<1>();  // the first half: its registers are free
  }
  __device__ __forceinline__ void multiply() const {
    Work work;
    work.begin(w, shape);
    Place at;
    for_tiles([&]<int Tokens>(int row_tile, int token0) {
      const int64_t row0 = int64_t(row_tile) * 128 + warp * 16;
      const LargeRows ends(w, c, row0 + (lane >> 2), Work::kCodes ? Work::kUnit : w.unit, kGroups ? 1 : Work::kSecond);
      float sums[Tokens / 2], total[Tokens / 2];
      at.last = -1;
#pragma unroll
      for (int i = 0; i < Tokens / 2; ++i) (kGroups ? total : sums)[i] = 0;
      next_unit(work, at);
      for (int unit = 0; unit < shape.units; ++unit) {
        multiply_piece<0>(work, at, sums, total, unit);
        if constexpr (kPieces == 2) multiply_piece<1>(work, at, sums, total, unit);
      }
      wgmma_wait<0>();
      wgmma_settle(sums);
      free_input(at.last);
      if (row_tile >= row_tiles) return;  // the cluster's other block has rows left
      if constexpr (kGroups) work.add_group(sums, total);
      float(&y)[Tokens / 2] = kGroups ? total : sums;
      ends.finish(y);
      const LargeStore store{c, c.store == Store::SiluPair ? w.layout.N / 2 : w.layout.N, warp, lane, stages + warp * kLargeStage};
      store.all(y, token0, row0);
    });
  }
};

template <int Bits, int Form, int GS>
__global__ void __launch_bounds__(kLargeThreads, 1) linear_large(const PackedView w, const LinearCall c, const TileShape shape, const int token_tiles, const int parts) {
#if defined(TEENY_WGMMA)
  using Block = LargeBlock<Bits, Form, GS>;
  extern __shared__ __align__(1024) uint8_t shared_large[];
  __shared__ __align__(8) uint64_t barriers[Block::kBarriers];
  const Block block(w, c, shape, token_tiles, parts, shared_large, barriers);
  if (threadIdx.x == 0) block.start_barriers();
  cluster_wait();
  dependency_release();
  dependency_wait();
  if (block.warp < 8) {
    registers_up<232>();
    block.multiply();
  } else {
    registers_down<40>();
    if (block.warp == 8 && block.lane == 0) block.fetch();
    if constexpr (Block::Rings::kTable)
      if (block.warp == 9 || block.warp == 10) block.decode_scales();
    __syncwarp();
  }
  cluster_wait();  // nothing arrives at a block that has ended
#endif
}

}  // namespace teeny::cuda
