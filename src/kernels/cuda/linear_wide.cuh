// y = x W^T for 17 to kMaxTokens tokens on Hopper (wgmma): a block has 8 tiles (128 rows), N tokens and a piece of K. One thread fills a ring of
// units of weights, another one of pieces of inputs; two warpgroups decode weights in registers, as linear_large does (LargeWork; two more warps
// decode the scales of the super-block forms, and one thread fills both rings), and multiply them with the tokens in shared memory. The blocks of
// a cluster have all of K between them and add up their sums (ClusterEnd).
#pragma once
#include <algorithm>

#include "kernels/cuda/cluster_end.cuh"
#include "kernels/cuda/linear_large.cuh"
#include "kernels/cuda/wgmma.cuh"

namespace teeny::cuda {

// f16 values: nothing to decode.
struct PlainWork {
  static constexpr int kHalves = 2, kSecond = 1;
  static constexpr bool kCodes = false, kTable = false;
  Half64<16> half;
  uint32_t a[2][4][4];
  const uint8_t *unit, *table;
  int at;
  __device__ __forceinline__ void begin(const PackedView&, const TileShape&) {}
  __device__ __forceinline__ void load_unit(const PackedLayout&, const uint8_t* from, int lane) { unit = from, at = lane; }
  template <int P>
  __device__ __forceinline__ void load_piece(int) {}
  template <int H>
  __device__ __forceinline__ void decode(const PackedLayout&) {
    half.load(unit + H * Half64<16>::kBytes, at);
#pragma unroll
    for (int s = 0; s < 4; ++s) a[H & 1][s][0] = half.step[s].x, a[H & 1][s][1] = half.step[s].y, a[H & 1][s][2] = half.step[s].z, a[H & 1][s][3] = half.step[s].w;
  }
};

inline constexpr int kWideRing = 8;  // units, at most
struct WideShape {
  int ring, pieces;  // units of the ring of weights; pieces of K
};

// The rings: units of weights (128 rows) with their decoded scales, as many as there is room for, and pieces of inputs (128 columns of N tokens).
template <int Bits, int Form, int N>
struct WideRings {
  static constexpr bool kTable = Form >= int(ScaleForm::Super6);
  static constexpr int kPieces = kTable ? 2 : 1;                         // of a unit
  static constexpr int kCodes = 8 * 2 * kPieces * Half64<Bits>::kBytes;  // of a unit
  static constexpr int kTableTile = ScaleTable<Form>::kTile, kTableUnit = kTable ? 8 * kTableTile : 0;
  static constexpr int kResident = N <= 64 && kCodes <= 16384 && !kTable ? 2 : 1;  // blocks of a multiprocessor
  static constexpr int kInput = N * 256, kInputs = N <= 64 ? (kResident == 2 && kCodes > 8192 ? 3 : 4) : N == 128 || kCodes <= 8192 ? 3 : 2;
  // Registers that a thread starts with, and those of threads that multiply and of the others: the block's own must do, or it waits for ever.
  static constexpr int kThreads = 384, kStart = 65536 / kResident / kThreads / 8 * 8, kMore = kResident == 2 ? 104 : 232, kFewer = kResident == 2 ? 32 : 40;
  static_assert(2 * kMore + kFewer <= 3 * kStart);
  static constexpr int kStatic = 1024 + int(sizeof(EndNorm<N>));  // bytes of static shared memory
  // `shared`: of a multiprocessor; `most`: dynamic, of a block without static shared memory.
  static int weights(int unit_bytes, int shared, int most) {
    return std::clamp((std::min(shared / kResident - 1024, most) - kStatic - 1024 - kInputs * kInput) / (kTableUnit + 8 * unit_bytes), 2, kWideRing);
  }
  static int bytes(int unit_bytes, int ring) { return 1024 + std::max(kInputs * kInput + ring * (kTableUnit + 8 * unit_bytes), N * kEndStride * 4); }
};

template <int Bits, int Form, int N, int GS>
struct WideBlock {
  using Rings = WideRings<Bits, Form, N>;
  using Work = std::conditional_t<Bits == 16, PlainWork, LargeWork<Bits == 16 ? 8 : Bits, Form, GS>>;
  static constexpr int kInputs = Rings::kInputs, kPieces = Rings::kPieces, kTableThreads = Rings::kTable ? 64 : 0, kFreeWarp = Rings::kTable ? 11 : 10;
  static constexpr int kBarriers = 2 * kInputs + 3 * kWideRing;
  const PackedView& w;
  const LinearCall& c;
  const TileShape& shape;
  const int ring, warp, lane, row_block, token0, first, count, unit_bytes;
  uint8_t *tables, *weights;                                                        // generic addresses
  uint32_t inputs, input_full, input_empty, weight_full, weight_empty, table_full;  // in shared memory

  __device__ __forceinline__ WideBlock(const PackedView& weight, const LinearCall& call, const TileShape& tile, const WideShape& wide, uint8_t* shared, const uint64_t* barriers)
      : w(weight), c(call), shape(tile), ring(wide.ring), warp(__shfl_sync(~0u, int(threadIdx.x) >> 5, 0)), lane(int(threadIdx.x) & 31), row_block(int(blockIdx.y)), token0(int(blockIdx.z) * N),
        first(tile.units * int(blockIdx.x) / wide.pieces), count(tile.units * (int(blockIdx.x) + 1) / wide.pieces - first), unit_bytes(8 * tile.unit_bytes) {
    const uint32_t base = shared_address(shared);
    inputs = (base + 1023) & ~1023u;
    tables = shared + (inputs - base) + kInputs * Rings::kInput, weights = tables + ring * Rings::kTableUnit;
    input_full = shared_address(barriers), input_empty = input_full + 8 * kInputs;
    weight_full = input_empty + 8 * kInputs, weight_empty = weight_full + 8 * kWideRing, table_full = weight_empty + 8 * kWideRing;
  }
  __device__ __forceinline__ void start_barriers() const {
#pragma unroll
    for (int i = 0; i < kInputs; ++i) barrier_init(input_full + 8 * i, 1), barrier_init(input_empty + 8 * i, 8);
#pragma unroll
    for (int i = 0; i < kWideRing; ++i) barrier_init(weight_full + 8 * i, 1), barrier_init(weight_empty + 8 * i, 256 + kTableThreads), barrier_init(table_full + 8 * i, 64);
    barriers_visible();
  }
  // A thread's way round a ring that it fills. Its waits are what the others wait for: it does as little as can be between them.
  struct Feed {
    uint32_t full, empty, to, start;  // barriers of the current slot; where it lies, and the first one
    const uint8_t* from;
    int left, slot = 0;
    uint32_t phase = 1;  // the first time around every slot is free
    __device__ __forceinline__ void next(int slots, uint32_t bytes) {
      --left, full += 8, empty += 8, to += bytes;
      if (++slot == slots) full -= 8 * slots, empty -= 8 * slots, to = start, slot = 0, phase ^= 1;
    }
  };
  __device__ __forceinline__ Feed weight_feed() const {
    const uint32_t start = shared_address(weights);
    return {weight_full, weight_empty, start, start, w.data + (int64_t(row_block) * shape.units + first) * unit_bytes, count};
  }
  __device__ __forceinline__ Feed input_feed() const {
    return {input_full, input_empty, inputs, inputs, static_cast<const uint8_t*>(c.x.data) + (int64_t(first) * 2 * kPieces * c.x.rows + token0) * 128, count * kPieces};
  }
  __device__ __forceinline__ void fetch_weight(Feed& feed, uint64_t policy) const {
    barrier_wait(feed.empty, feed.phase);
    barrier_expect(feed.full, unit_bytes);
    bulk_copy(feed.to, feed.from, unit_bytes, feed.full, policy);
    feed.from += unit_bytes;
    feed.next(ring, uint32_t(unit_bytes));
  }
  __device__ __forceinline__ void fetch_input(Feed& feed) const {
    const int64_t panel = int64_t(c.x.rows) * 128;
    barrier_wait(feed.empty, feed.phase);
    barrier_expect(feed.full, Rings::kInput);
    bulk_copy(feed.to, feed.from, N * 128, feed.full);
    bulk_copy(feed.to + N * 128, feed.from + panel, N * 128, feed.full);
    feed.from += 2 * panel;
    feed.next(kInputs, Rings::kInput);
  }
  // One thread fills both rings, or one each. Weights are what no other kernel makes: as many as there is room for come first.
  __device__ __forceinline__ void fetch_weights(bool both) const {
    const uint64_t policy = read_once_policy();
    Feed codes = weight_feed();
    for (int i = min(ring, count); i > 0; --i) fetch_weight(codes, policy);
    if (both) {
      dependency_wait();
      Feed tokens = input_feed();
      for (int i = min(kInputs, tokens.left); i > 0; --i) fetch_input(tokens);
      while (tokens.left > 0) {  // in the order in which the slots come free
        fetch_input(tokens);
        if (codes.left > 0 && tokens.left <= (codes.left + ring - 1) * kPieces) fetch_weight(codes, policy);
      }
    }
    while (codes.left > 0) fetch_weight(codes, policy);
  }
  __device__ __forceinline__ void fetch_inputs() const {
    dependency_wait();
    for (Feed tokens = input_feed(); tokens.left > 0;) fetch_input(tokens);
  }
  // Two warps decode scales, a lane those of two rows of one of the block's 8 tiles.
  __device__ __forceinline__ void decode_scales() const {
    const int of = (warp - 9) * 4 + (lane >> 3);
    int slot = 0;
    uint32_t phase = 0;
    for (int unit = 0; unit < count; ++unit) {
      barrier_wait(weight_full + 8 * slot, phase);
      const uint8_t* scales = weights + slot * unit_bytes + (of + 1) * shape.unit_bytes - shape.scale_bytes;
      ScaleTable<Form>::template fill<Bits>(tables + slot * Rings::kTableUnit + of * Rings::kTableTile, scales, lane & 7, w.layout.zero, 1.0f / w.unit);
      barrier_arrive(table_full + 8 * slot);
      barrier_arrive(weight_empty + 8 * slot);
      if (++slot == ring) slot = 0, phase ^= 1;
    }
  }

  struct Place {
    int slot = 0, weight_slot = 0, last = -1;  // last: the piece of inputs that is still being multiplied
    uint32_t phase = 0, weight_phase = 0;
  };
  __device__ __forceinline__ void free_input(int slot) const {
    if (slot >= 0 && lane == 0) barrier_arrive(input_empty + 8 * slot);
  }
  __device__ __forceinline__ void next_unit(Work& work, const Place& at) const {
    barrier_wait(weight_full + 8 * at.weight_slot, at.weight_phase);
    if constexpr (Rings::kTable) {
      barrier_wait(table_full + 8 * at.weight_slot, at.weight_phase);
      work.table = tables + at.weight_slot * Rings::kTableUnit + warp * Rings::kTableTile + (lane >> 2) * 8;
    }
    work.load_unit(w.layout, weights + at.weight_slot * unit_bytes + warp * shape.unit_bytes, lane);
  }
  template <int H>
  __device__ __forceinline__ void multiply_half(const Work& work, float (&sums)[N / 2], int slot) const {
    const uint64_t tokens = wgmma_tokens(inputs + slot * Rings::kInput + (H & 1) * N * 128);
    wgmma_fence();
#pragma unroll
    for (int s = 0; s < 4; ++s) Wgmma<N>::run(sums, work.a[H & 1][s], tokens + 2 * s, 1);
    wgmma_commit();
  }
  template <int P>
  __device__ __forceinline__ void multiply_piece(Work& work, Place& at, float (&sums)[N / 2], bool more) const {
    work.template decode<2 * P>(w.layout);
    barrier_wait(input_full + 8 * at.slot, at.phase);
    multiply_half<2 * P>(work, sums, at.slot);
    wgmma_wait<1>();
    free_input(at.last);  // the piece before is done with
    work.template decode<2 * P + 1>(w.layout);
    multiply_half<2 * P + 1>(work, sums, at.slot);
    at.last = at.slot;
    if (++at.slot == kInputs) at.slot = 0, at.phase ^= 1;
    if constexpr (P + 1 < kPieces) {
      work.template load_piece<P + 1>(lane);
    } else {
      barrier_arrive(weight_empty + 8 * at.weight_slot);  // the unit's codes are in the lane's registers
      if (++at.weight_slot == ring) at.weight_slot = 0, at.weight_phase ^= 1;
      if (more) next_unit(work, at);
    }
    wgmma_wait<1>();  // the first half: its registers are free
  }
  // The sums of the block's piece of K, into shared memory when all of the ring has been read.
  __device__ __forceinline__ void multiply(float* total) const {
    Work work;
    work.begin(w, shape);
    Place at;
    float sums[N / 2];
#pragma unroll
    for (int i = 0; i < N / 2; ++i) sums[i] = 0;
    next_unit(work, at);
    for (int unit = 0; unit < count; ++unit) {
      multiply_piece<0>(work, at, sums, unit + 1 < count);
      if constexpr (kPieces == 2) multiply_piece<1>(work, at, sums, unit + 1 < count);
    }
    wgmma_wait<0>();
    wgmma_settle(sums);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < N / 2; ++i) {
      const int r = (i >> 1) & 1, row = warp * 16 + (lane >> 2) + 8 * r, n = 8 * (i >> 2) + 2 * (lane & 3) + (i & 1);
      total[n * kEndStride + row] = r == 0 ? sums[i] : sums[i] * (1.0f / Work::kSecond);
    }
  }
};

// GS: as LargeWork's, but for 8: sums of groups take registers, and here power is not what decides.
template <int Bits, int Form, int N, int GS>
__global__ void __launch_bounds__((WideRings<Bits, Form, N>::kThreads), (WideRings<Bits, Form, N>::kResident)) linear_wide(const PackedView w, const LinearCall c, const TileShape shape, const WideShape wide) {
#if defined(TEENY_WGMMA)
  using Block = WideBlock<Bits, Form, N, GS>;
  using Rings = typename Block::Rings;
  extern __shared__ __align__(1024) uint8_t shared_wide[];
  __shared__ __align__(8) uint64_t barriers[Block::kBarriers];
  __shared__ EndNorm<N> norm;
  const Block block(w, c, shape, wide, shared_wide, barriers);
  if (threadIdx.x == 0) block.start_barriers();
  __syncthreads();
  dependency_release();
  float* total = reinterpret_cast<float*>(shared_wide);
  ClusterEnd<N, 256> end(w, c, total, norm, int(blockIdx.x), wide.pieces, block.row_block, block.token0);
  const auto wait_for_pieces = [&] {
    if (wide.pieces > 1) cluster_wait();
    else __syncthreads();
  };
  // What ends a block is written twice, so that those who multiply keep their registers to the end.
  if (block.warp < 8) {
    registers_up<Rings::kMore>();
    block.multiply(total);
    dependency_wait();
    end.read_rows();  // (earlier they would take registers)
    wait_for_pieces();
    end.store();
    if (wide.pieces > 1) cluster_wait();  // the other blocks' memory stays until it has been read
  } else {
    registers_down<Rings::kFewer>();
    if (block.warp == 8 && block.lane == 0) block.fetch_weights(Rings::kTable);
    if constexpr (Rings::kTable) {
      if (block.warp == 9 || block.warp == 10) block.decode_scales();
    } else {
      if (block.warp == 9 && block.lane == 0) block.fetch_inputs();
    }
    if (block.warp >= Block::kFreeWarp) {
      dependency_wait();
      end.read_norm(Bits == 16 ? 1.0f : Block::Work::kCodes ? kCodeUnit : w.unit, Block::kFreeWarp * 32, (12 - Block::kFreeWarp) * 32);
    }
    __syncwarp();
    __syncthreads();
    wait_for_pieces();
    if (wide.pieces > 1) cluster_wait();
  }
#endif
}

}  // namespace teeny::cuda
