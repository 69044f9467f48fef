// y = x W^T for 9 to 16 tokens where blocks can form clusters: a block has 8 tiles (128 rows) and a piece of K, four warps with two
// tiles each share what the tokens of a unit are; one more warp fills a ring of units, and one adds up the inputs of groups. The blocks
// of a cluster have the same rows and all of K between them, and add up their sums through each other's shared memory: no second
// kernel, and one order of summation. Products may do the norms between them, as linear_small does for one token (NormBetween).
#pragma once
#include <algorithm>

#include "kernels/cuda/linear.h"
#include "kernels/cuda/linear_small.cuh"

namespace teeny::cuda {

inline constexpr int kMiddleWarps = 4, kMiddleThreads = (kMiddleWarps + 2) * 32;
inline constexpr int kMiddleRows = 128, kMiddleStride = kMiddleRows + 4;  // of sums: (token, row)

// What the end of a block needs of other kernels' results, read while the units are on their way.
struct MiddleNorm {
  float unit[kMiddleTokens];     // what sums are multiplied by
  float factor[kMiddleTokens];   // of the inputs that the norm ahead leaves
  float divisor[kMiddleTokens];
  float squares[kMiddleTokens][kMiddleWarps];
};
// Threads 0 .. 127, eight for each token: the mean square of h.
__device__ __forceinline__ void read_norm(const NormBetween& norm, int m, int H, float unit, MiddleNorm& to) {
  const int token = int(threadIdx.x) >> 3, pieces = (H + kMiddleRows - 1) / kMiddleRows;
  float sum = 0, divisor = 1;
  if (norm.squares && token < m) {
    divisor = norm.weight ? 1.0f : __ldcg(norm.divisor + token);
    for (int i = threadIdx.x & 7; i < pieces; i += 8) sum += __ldcg(norm.squares + token * square_pieces(H) + i);
  }
#pragma unroll
  for (int d = 4; d > 0; d >>= 1) sum += __shfl_xor_sync(~0u, sum, d);
  if ((threadIdx.x & 7) != 0) return;
  const float mean = __fdividef(sum, float(H)) + norm.eps, root = norm.squares ? rsqrtf(mean) : 1.0f;
  to.unit[token] = norm.squares && !norm.weight ? unit * root * divisor : unit;
  to.factor[token] = root * (1 / kHeadroom), to.divisor[token] = kHeadroom * mean * root;
}

// The end of a block: its cluster's sums become results, those of every `pieces`-th token in each block.
struct MiddleEnd {
  const PackedView& w;
  const LinearCall& c;
  const float* total;  // (tokens, kMiddleStride), in every block of the cluster at the same place
  MiddleNorm& norm;
  const int rank, pieces, row_block;
  float scale, bias, gain;  // of the thread's row

  __device__ __forceinline__ bool normed() const { return c.norm.squares && c.norm.weight; }
  __device__ __forceinline__ int64_t row() const { return int64_t(row_block) * kMiddleRows + threadIdx.x; }
  __device__ __forceinline__ bool real() const { return threadIdx.x < kMiddleRows && row() < w.layout.N; }
  __device__ __forceinline__ void read_rows() {
    scale = real() ? row_scale(w, row()) : 0.0f, bias = real() && c.bias ? c.bias[row()] : 0.0f, gain = real() && normed() ? c.norm.weight[row()] : 0.0f;
  }
  __device__ __forceinline__ float sum(int token, int at_row) const {
    const float* at = total + token * kMiddleStride + at_row;
    if (pieces == 1) return *at;
    float parts[kMiddlePieces], out = 0;
#pragma unroll
    for (int p = 0; p < kMiddlePieces; ++p) parts[p] = p < pieces ? cluster_read(at, p) : 0.0f;
#pragma unroll
    for (int p = 0; p < kMiddlePieces; ++p) out += parts[p];
    return out;
  }
  __device__ __forceinline__ void pairs() const {
    const int r = threadIdx.x & 63, gate = r / 16 * 32 + r % 16;
    const int64_t row0 = int64_t(row_block) * kMiddleRows, out_row = row0 / 2 + r;
    if (out_row >= w.layout.N / 2) return;
    for (int token = rank + pieces * (int(threadIdx.x) >> 6); token < c.m; token += 2 * pieces) {
      const float by = norm.unit[token], g = sum(token, gate), u = sum(token, gate + 16);
      store_pair(c, token, out_row, finished(w, c, row0 + gate, g, by), finished(w, c, row0 + gate + 16, u, by));
    }
  }
  static constexpr int kBatch = 4;  // tokens whose reads are under way together
  __device__ __forceinline__ void read_old(int first, float (&old)[kBatch]) const {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int token = first + i * pieces;
      old[i] = real() && c.store == Store::Residual && token < c.m ? c.out[token * c.ldo + row()] : 0.0f;
    }
  }
  // `old`: of the first batch.
  __device__ __forceinline__ void rows(float (&old)[kBatch]) const {
    for (int first = rank; first < c.m; first += kBatch * pieces) {
      if (first != rank) read_old(first, old);
      float y[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int token = first + i * pieces;
        y[i] = token < c.m ? sum(token, threadIdx.x) : 0.0f;
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int token = first + i * pieces;
        if (token < c.m) one(token, finished(w, scale, bias, y[i], norm.unit[token]) + old[i]);
      }
    }
  }
  __device__ __forceinline__ void one(int token, float y) const {
    if (real()) c.out[token * c.ldo + row()] = y;
    if (!normed()) return;
    if (real()) static_cast<__half*>(c.norm.x.data)[activation_at(c.norm.x, token, row())] = saturated_half(y * gain * norm.factor[token]);
    if (row() == 0) c.norm.divisor[token] = norm.divisor[token];
    float square = real() ? y * y : 0.0f;
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) square += __shfl_xor_sync(~0u, square, d);
    if ((threadIdx.x & 31) == 0) norm.squares[token][threadIdx.x >> 5] = square;
  }
  // After rows() and a barrier: this block's rows' share.
  __device__ __forceinline__ void store_squares() const {
    const int token = rank + int(threadIdx.x) * pieces;
    if (token >= c.m) return;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kMiddleWarps; ++i) sum += norm.squares[token][i];
    c.norm.squares_out[token * square_pieces(w.layout.N) + row_block] = sum;
  }
};

// What the warps of a block share: the ring, and its barriers.
template <int Bits, int Form, int GS>
struct MiddleBlock {
  using Work = SmallWork<Bits, Form, 2, GS, false>;
  static constexpr int kHalves = Work::kHalves, kHalfBytes = Half64<Bits>::kBytes, kPanel = kMiddleTokens * 128, kInput = kHalves * kPanel;
  static constexpr int kSteps = kHalves * 4, kGroups = GS > 0 ? kSteps / std::max(GS, 1) : 1;  // of a unit
  static constexpr bool kOnes = Work::kOnes;
  static constexpr int kSumming = 4;  // lanes that hold the sums of inputs, two tokens of 8 each
  static constexpr int kResident = kHalves == 4 ? 2 : 3;  // blocks a multiprocessor: registers
  static constexpr int kStatic = 2048 + (kOnes ? kMiddleStages * kGroups * kMiddleTokens * 4 : 0);  // shared memory beside the ring
  const PackedView& w;
  const LinearCall& c;
  const int unit_bytes, stages, first, count, lane, warp;
  uint8_t* shared;
  float (*ones)[kGroups][kMiddleTokens];  // of each stage: sums of a group's inputs times 2^-24
  const uint32_t full, empty, summed;     // barriers

  __device__ __forceinline__ int stage_bytes() const { return 8 * unit_bytes + kInput; }
  // body(unit, slot, phase of the slot's barriers)
  template <class F>
  __device__ __forceinline__ void for_units(int from, F&& body) const {
    int slot = 0;
    uint32_t phase = 0;
    for (int i = from; i < count; ++i) {
      body(i, slot, phase);
      if (++slot == stages) slot = 0, phase ^= 1;
    }
  }
  // One thread fills the ring.
  __device__ __forceinline__ void fetch(int units, int row_block) const {
    const uint64_t policy = read_once_policy();
    const int block_bytes = 8 * unit_bytes, start = min(stages, count);
    const uint32_t ring = shared_address(shared);
    const uint8_t* weights = w.data + (int64_t(row_block) * units + first) * block_bytes;
    const uint8_t* inputs = static_cast<const uint8_t*>(c.x.data) + int64_t(first) * kInput;
    const auto fetch_weight = [&](int i, int slot) {
      barrier_expect(full + 8 * slot, stage_bytes());
      bulk_copy(ring + slot * stage_bytes(), weights + int64_t(i) * block_bytes, block_bytes, full + 8 * slot, policy);
    };
    const auto fetch_input = [&](int i, int slot) { bulk_copy(ring + slot * stage_bytes() + block_bytes, inputs + int64_t(i) * kInput, kInput, full + 8 * slot); };
    for (int i = 0; i < start; ++i) fetch_weight(i, i);
    dependency_wait();
    for (int i = 0; i < start; ++i) fetch_input(i, i);
    for_units(start, [&](int i, int slot, uint32_t phase) {
      barrier_wait(empty + 8 * slot, phase);
      fetch_weight(i, slot);
      fetch_input(i, slot);
    });
  }
  // Of the lane's rows of two input matrices of 8 tokens, for the two steps of pair P.
  template <int P>
  __device__ __forceinline__ void load_inputs(uint32_t panel, uint2 (&b)[2][2]) const {
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      uint32_t v[4];
      load_matrices(v, panel + uint32_t(j * 1024 + (lane & 7) * 128 + (((4 * P + (lane >> 3)) ^ (lane & 7)) << 4)));
      b[0][j] = make_uint2(v[0], v[1]), b[1][j] = make_uint2(v[2], v[3]);
    }
  }
  __device__ __forceinline__ void release(uint32_t barrier) const {
    __syncwarp();
    if (lane == 0) barrier_arrive(barrier);
  }
  // One warp adds up the inputs of groups: what zero points and minima are multiplied by.
  __device__ __forceinline__ void add_inputs() const {
    for_units(0, [&](int, int slot, uint32_t phase) {
      barrier_wait(full + 8 * slot, phase);
      const uint32_t inputs = shared_address(shared) + uint32_t(slot * stage_bytes() + 8 * unit_bytes);
      float sums[2][4];
      const auto step = [&]<int K>(const uint2 (&b)[2]) {
        constexpr uint32_t one = 0x00010001u;
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          if constexpr (K % std::max(GS, 1) == 0) multiply_first(sums[j], one, one, one, one, b[j]);
          else multiply(sums[j], one, one, one, one, b[j]);
          if constexpr ((K + 1) % std::max(GS, 1) == 0)
            if (lane < kSumming) *reinterpret_cast<float2*>(&ones[slot][K / std::max(GS, 1)][8 * j + 2 * lane]) = make_float2(sums[j][0], sums[j][1]);
        }
      };
      const auto pair = [&]<int K>() {
        uint2 b[2][2];
        load_inputs<(K / 2) % 2>(inputs + K / 4 * kPanel, b);
        step.template operator()<K>(b[0]);
        step.template operator()<K + 1>(b[1]);
      };
      pair.template operator()<0>(), pair.template operator()<2>(), pair.template operator()<4>(), pair.template operator()<6>();
      if constexpr (kHalves == 4) pair.template operator()<8>(), pair.template operator()<10>(), pair.template operator()<12>(), pair.template operator()<14>();
      if (lane < kSumming) barrier_arrive(summed + 8 * slot);
    });
  }
  // Four warps multiply two tiles each.
  __device__ __forceinline__ void multiply_tiles(Sums<2> (&sums)[2]) const {
    const PackedLayout& l = w.layout;
    Work work[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) clear(sums[r].total), clear(sums[r].codes), work[r].begin(l);
    for_units(0, [&](int, int slot, uint32_t phase) {
      barrier_wait(full + 8 * slot, phase);
      const uint8_t* mine = shared + slot * stage_bytes() + 2 * warp * unit_bytes;
      const uint32_t inputs = shared_address(shared) + uint32_t(slot * stage_bytes() + 8 * unit_bytes);
#pragma unroll
      for (int r = 0; r < 2; ++r) work[r].load_scales(mine + r * unit_bytes + kHalves * kHalfBytes, lane);
      const auto step = [&]<int H, int S>(const uint2 (&b)[2]) {
        constexpr int k = 4 * H + S;
        float of_group[2][4];
        if constexpr (kOnes && (k + 1) % std::max(GS, 1) == 0) {
          if constexpr (k < std::max(GS, 1)) barrier_wait(summed + 8 * slot, phase);
#pragma unroll
          for (int j = 0; j < 2; ++j) {
            const float2 two = *reinterpret_cast<const float2*>(&ones[slot][k / std::max(GS, 1)][8 * j + 2 * (lane & 3)]);
            of_group[j][0] = of_group[j][2] = two.x, of_group[j][1] = of_group[j][3] = two.y;
          }
        }
        work[0].template step<H, S, false>(l, b, sums[0], of_group);
        work[1].template step<H, S, false>(l, b, sums[1], of_group);
      };
      const auto half = [&]<int H>() {
#pragma unroll
        for (int r = 0; r < 2; ++r) work[r].half.load(mine + r * unit_bytes + H * kHalfBytes, lane);
        uint2 b[2][2];
        load_inputs<0>(inputs + H * kPanel, b);
        step.template operator()<H, 0>(b[0]);
        step.template operator()<H, 1>(b[1]);
        load_inputs<1>(inputs + H * kPanel, b);
        step.template operator()<H, 2>(b[0]);
        step.template operator()<H, 3>(b[1]);
      };
      half.template operator()<0>();
      half.template operator()<1>();
      if constexpr (kHalves == 4) half.template operator()<2>(), half.template operator()<3>();
      release(empty + 8 * slot);
    });
#pragma unroll
    for (int r = 0; r < 2; ++r) work[r].finish(sums[r]);
  }
};

template <int Bits, int Form, int GS>
__global__ void __launch_bounds__(kMiddleThreads, (MiddleBlock<Bits, Form, GS>::kResident)) linear_middle(const PackedView w, const LinearCall c, const TileShape shape, const MiddleShape middle) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  using Block = MiddleBlock<Bits, Form, GS>;
  extern __shared__ __align__(128) uint8_t shared[];
  __shared__ __align__(8) uint64_t barriers[3 * kMiddleStages];
  __shared__ __align__(16) float ones[kMiddleStages][Block::kGroups][kMiddleTokens];
  __shared__ MiddleNorm norm;
  const int warp = __shfl_sync(~0u, int(threadIdx.x >> 5), 0), lane = threadIdx.x & 31, rank = int(blockIdx.x), row_block = int(blockIdx.y);
  const int first = shape.units * rank / middle.pieces, count = shape.units * (rank + 1) / middle.pieces - first;
  const uint32_t full = shared_address(barriers);
  const Block block{w, c, shape.unit_bytes, middle.stages, first, count, lane, warp, shared, ones, full, full + 8 * kMiddleStages, full + 16 * kMiddleStages};
  if (threadIdx.x == 0) {
    for (int i = 0; i < middle.stages; ++i) barrier_init(full + 8 * i, 1), barrier_init(block.empty + 8 * i, kMiddleWarps), barrier_init(block.summed + 8 * i, Block::kSumming);
    barriers_visible();
  }
  __syncthreads();
  dependency_release();
  float* total = reinterpret_cast<float*>(shared);
  MiddleEnd end{w, c, total, norm, rank, middle.pieces, row_block, 0, 0, 0};
  float old[MiddleEnd::kBatch];
  if (warp == kMiddleWarps) {
    if (lane == 0) block.fetch(shape.units, row_block);
    __syncwarp();
    __syncthreads();
  } else if (warp == kMiddleWarps + 1) {
    if constexpr (Block::kOnes) block.add_inputs();
    __syncthreads();
  } else {
    end.read_rows();
    dependency_wait();
    end.read_old(rank, old);
    read_norm(c.norm, c.m, int(c.norm.weight ? w.layout.N : w.layout.K), Bits < 16 ? kCodeUnit : 1.0f, norm);
    Sums<2> sums[2];
    block.multiply_tiles(sums);
    __syncthreads();  // the ring is read to its end
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int j = 0; j < 2; ++j)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          total[(8 * j + 2 * (lane & 3) + (i & 1)) * kMiddleStride + warp * 32 + r * 16 + (lane >> 2) + 8 * (i >> 1)] = sums[r].total[j][i];
  }
  if (middle.pieces > 1) cluster_wait();
  else __syncthreads();
  if (warp < kMiddleWarps) {
    if (c.store == Store::SiluPair) end.pairs();
    else end.rows(old);
  }
  if (end.normed()) {
    __syncthreads();
    end.store_squares();
  }
  if (middle.pieces > 1) cluster_wait();  // the other blocks' memory stays until it has been read
#endif
}

}  // namespace teeny::cuda
