// The end of a product whose pieces of K are the blocks of a cluster: they add up their sums from each other's shared memory, each
// for its share of the tokens, and make results of them. Products may do the norms between them so (NormBetween).
#pragma once
#include "kernels/cuda/linear.h"
#include "kernels/cuda/linear_small.cuh"

namespace teeny::cuda {

inline constexpr int kEndRows = 128, kEndStride = kEndRows + 4;  // of a block's sums: (token, row)

// What the end needs of other kernels' results, read while the units are on their way.
template <int Tokens>
struct EndNorm {
  float unit[Tokens];    // what sums are multiplied by
  float factor[Tokens];  // of the inputs that the norm ahead leaves
  float divisor[Tokens];
};

// What belongs to four neighbouring rows; those from N on have none.
struct RowQuad {
  int64_t row;
  int count;
  float scale[4], bias[4];
  __device__ __forceinline__ void read(const PackedView& w, const LinearCall& c, int64_t first) {
    row = first, count = int(min(int64_t(4), max(int64_t(0), w.layout.N - first)));
#pragma unroll
    for (int j = 0; j < 4; ++j) scale[j] = j < count ? row_scale(w, row + j) : 0.0f, bias[j] = j < count && c.bias ? c.bias[row + j] : 0.0f;
  }
};

// Of `count` tokens from token0 on. Threads: those that take part, from thread 0; a warp takes a token, a lane four rows.
template <int Tokens, int Threads>
struct ClusterEnd {
  static constexpr int kWarps = Threads / 32, kBatch = Tokens <= 64 ? 2 : 4;  // kBatch: tokens whose reads are under way together
  const PackedView& w;
  const LinearCall& c;
  const float* total;  // (Tokens, kEndStride), in every block of the cluster at the same place
  EndNorm<Tokens>& norm;
  const int rank, pieces, row_block, token0, count, lane;
  RowQuad quad, up;  // the lane's rows; where two make one result, the rows of gates and of their factors
  float gain[4];
  float4 old[kBatch];  // of the first tokens

  __device__ __forceinline__ ClusterEnd(const PackedView& weight, const LinearCall& call, const float* sums, EndNorm<Tokens>& to, int of_cluster, int blocks, int rows, int token)
      : w(weight), c(call), total(sums), norm(to), rank(of_cluster), pieces(blocks), row_block(rows), token0(token), count(min(Tokens, call.m - token)), lane(int(threadIdx.x) & 31) {}
  __device__ __forceinline__ bool normed() const { return c.norm.squares && c.norm.weight; }

  // By `threads` threads of the block, from thread `from` on: eight for each token. `unit`: of sums without a norm.
  __device__ __forceinline__ void read_norm(float unit, int from, int threads) const {
    const int H = int(c.norm.weight ? w.layout.N : w.layout.K), blocks = (H + kEndRows - 1) / kEndRows;
    for (int n = int(threadIdx.x - from) >> 3; n < Tokens; n += threads / 8) {
      float sum = 0, divisor = 1;
      if (c.norm.squares && n < count) {
        if (!c.norm.weight) divisor = __ldcg(c.norm.divisor + token0 + n);
        for (int i = threadIdx.x & 7; i < blocks; i += 8) sum += __ldcg(c.norm.squares + (token0 + n) * square_pieces(H) + i);
      }
#pragma unroll
      for (int d = 4; d > 0; d >>= 1) sum += __shfl_xor_sync(~0u, sum, d);
      if ((threadIdx.x & 7) != 0) continue;
      const float mean = __fdividef(sum, float(H)) + c.norm.eps, root = c.norm.squares ? rsqrtf(mean) : 1.0f;
      norm.unit[n] = c.norm.squares && !c.norm.weight ? unit * root * divisor : unit;
      norm.factor[n] = root * (1 / kHeadroom), norm.divisor[n] = kHeadroom * mean * root;
    }
  }
  // After dependency_wait(), ahead of the wait for the cluster's sums.
  __device__ __forceinline__ void read_rows() {
    const int64_t row0 = int64_t(row_block) * kEndRows;
    if (c.store == Store::SiluPair) {
      quad.read(w, c, row0 + gate()), up.read(w, c, row0 + gate() + 16);
      return;
    }
    quad.read(w, c, row0 + 4 * lane);
#pragma unroll
    for (int j = 0; j < 4; ++j) gain[j] = normed() && j < quad.count ? c.norm.weight[quad.row + j] : 0.0f;
    read_old(first());
  }
  // When every block of the cluster has left its sums.
  __device__ __forceinline__ void store() {
    if (c.store == Store::SiluPair) pairs();
    else rows();
  }

 private:
  __device__ __forceinline__ int first() const { return rank * kWarps + (int(threadIdx.x) >> 5); }
  __device__ __forceinline__ int step() const { return pieces * kWarps; }
  __device__ __forceinline__ int gate() const { return 4 * (lane & 15) / 16 * 32 + 4 * (lane & 15) % 16; }  // tiles of 16 gates and of 16 factors take turns
  __device__ __forceinline__ float* out_at(int n) const { return c.out + (token0 + n) * c.ldo + quad.row; }
  __device__ __forceinline__ bool whole() const { return quad.count == 4 && c.ldo % 4 == 0 && (reinterpret_cast<uintptr_t>(c.out) & 15) == 0; }
  __device__ __forceinline__ void read_old(int from) {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int n = from + i * step();
      old[i] = {};
      if (c.store != Store::Residual || n >= count) continue;
      if (whole()) old[i] = *reinterpret_cast<const float4*>(out_at(n));
      else
#pragma unroll
        for (int j = 0; j < 4; ++j)
          if (j < quad.count) (&old[i].x)[j] = out_at(n)[j];
    }
  }
  // Four rows, from `at` on, of tokens from, from + stride ..
  __device__ __forceinline__ void sum(int from, int stride, int at, float4 (&out)[kBatch]) const {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) out[i] = {};
#pragma unroll
    for (int p = 0; p < kMiddlePieces; ++p) {
      if (p >= pieces) break;
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int n = from + i * stride;
        const auto* here = reinterpret_cast<const float4*>(total + (n < count ? n : 0) * kEndStride + at);
        const float4 v = pieces == 1 ? *here : cluster_read(here, p);
        out[i].x += v.x, out[i].y += v.y, out[i].z += v.z, out[i].w += v.w;
      }
    }
  }
  __device__ __forceinline__ float4 results(const RowQuad& of, const float4& sums, float unit) const {
    return {finished(w, of.scale[0], of.bias[0], sums.x, unit), finished(w, of.scale[1], of.bias[1], sums.y, unit), finished(w, of.scale[2], of.bias[2], sums.z, unit),
            finished(w, of.scale[3], of.bias[3], sums.w, unit)};
  }
  // Four f16 side by side (of which `real` are), from a row on that is a multiple of 4.
  static __device__ __forceinline__ void store_halves(const Activations& to, int token, int64_t row, int real, const float4& y) {
    auto* at = static_cast<__half*>(to.data) + activation_at(to, token, row);
    if (real == 4) {
      const __half2 two[2] = {__halves2half2(saturated_half(y.x), saturated_half(y.y)), __halves2half2(saturated_half(y.z), saturated_half(y.w))};
      *reinterpret_cast<uint2*>(at) = *reinterpret_cast<const uint2*>(two);
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j)
        if (j < real) at[j] = saturated_half((&y.x)[j]);
    }
  }
  // Half a warp takes a token, a lane four results.
  __device__ __forceinline__ void pairs() const {
    const int64_t out_row = int64_t(row_block) * (kEndRows / 2) + 4 * (lane & 15);
    const int real = int(min(int64_t(4), max(int64_t(0), w.layout.N / 2 - out_row))), stride = 2 * step();
    for (int from = 2 * first() + (lane >> 4); from < count; from += kBatch * stride) {
      float4 gates[kBatch], ups[kBatch];
      sum(from, stride, gate(), gates), sum(from, stride, gate() + 16, ups);
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int n = from + i * stride;
        if (n >= count) break;
        const float4 g = results(quad, gates[i], norm.unit[n]), u = results(up, ups[i], norm.unit[n]);
        store_halves(c.out16, token0 + n, out_row, real, {silu(g.x) * u.x, silu(g.y) * u.y, silu(g.z) * u.z, silu(g.w) * u.w});
      }
    }
  }
  __device__ __forceinline__ void rows() {
    for (int from = first(); from < count; from += kBatch * step()) {
      if (from != first()) read_old(from);
      float4 sums[kBatch];
      sum(from, step(), 4 * lane, sums);
#pragma unroll
      for (int i = 0; i < kBatch; ++i)
        if (from + i * step() < count) one(from + i * step(), sums[i], old[i]);
    }
  }
  __device__ __forceinline__ void one(int n, const float4& sums, const float4& before) const {  // a warp comes here together
    float4 y = results(quad, sums, norm.unit[n]);
    y.x += before.x, y.y += before.y, y.z += before.z, y.w += before.w;
    if (whole()) *reinterpret_cast<float4*>(out_at(n)) = y;
    else
#pragma unroll
      for (int j = 0; j < 4; ++j)
        if (j < quad.count) out_at(n)[j] = (&y.x)[j];
    if (!normed()) return;
    const int token = token0 + n;
    const float by = norm.factor[n];
    store_halves(c.norm.x, token, quad.row, quad.count, {y.x * gain[0] * by, y.y * gain[1] * by, y.z * gain[2] * by, y.w * gain[3] * by});
    float square = 0;
#pragma unroll
    for (int j = 0; j < 4; ++j) square += j < quad.count ? (&y.x)[j] * (&y.x)[j] : 0.0f;
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) square += __shfl_xor_sync(~0u, square, d);
    if (lane != 0) return;
    if (row_block == 0) c.norm.divisor[token] = norm.divisor[n];
    c.norm.squares_out[token * square_pieces(w.layout.N) + row_block] = square;
  }
};

}  // namespace teeny::cuda
