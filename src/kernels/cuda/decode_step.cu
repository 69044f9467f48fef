// Norms, embedding rows, activations and the choice of a token.
#include <cfloat>

#include "kernels/cuda/linear_small.cuh"
#include "teeny/kernels/decode_step.h"

namespace teeny::cuda {
namespace {

constexpr int kNormThreads = 512;

template <int Threads>
__device__ float block_sum(float v) {
  __shared__ float parts[Threads / 32];
#pragma unroll
  for (int d = 16; d > 0; d >>= 1) v += __shfl_xor_sync(~0u, v, d);
  if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = v;
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int i = 0; i < Threads / 32; ++i) sum += parts[i];
  return sum;
}

__global__ void __launch_bounds__(kNormThreads) norm_kernel(const float* h, const float* weight, float eps, int H, const Activations x, float* squares) {
  constexpr int kKeep = 4;  // of the first 4 x 4 x 512 columns
  float4 gain[kKeep];       // waits for no other kernel
#pragma unroll
  for (int i = 0; i < kKeep; ++i) {
    const int at = (i * kNormThreads + int(threadIdx.x)) * 4;
    gain[i] = at < H ? *reinterpret_cast<const float4*>(weight + at) : make_float4(0, 0, 0, 0);
  }
  dependency_release();
  dependency_wait();
  h += int64_t(blockIdx.x) * H;
  auto* out16 = static_cast<__half*>(x.data);
  float sum = 0;
  float4 kept[kKeep];
#pragma unroll
  for (int i = 0; i < kKeep; ++i) {
    const int at = (i * kNormThreads + int(threadIdx.x)) * 4;
    kept[i] = at < H ? *reinterpret_cast<const float4*>(h + at) : make_float4(0, 0, 0, 0);
    sum += kept[i].x * kept[i].x + kept[i].y * kept[i].y + kept[i].z * kept[i].z + kept[i].w * kept[i].w;
  }
  for (int at = kKeep * kNormThreads * 4 + int(threadIdx.x); at < H; at += kNormThreads) sum += h[at] * h[at];
  sum = block_sum<kNormThreads>(sum);
  if (squares)
    for (int i = threadIdx.x; i < int(square_pieces(H)); i += kNormThreads) squares[blockIdx.x * square_pieces(H) + i] = i == 0 ? sum : 0.0f;
  const float scale = rsqrtf(sum / float(H) + eps);
#pragma unroll
  for (int i = 0; i < kKeep; ++i) {
    const int at = (i * kNormThreads + int(threadIdx.x)) * 4;
    if (at >= H) break;
    const float4 g = gain[i];
    __half out[4] = {saturated_half(kept[i].x * scale * g.x), saturated_half(kept[i].y * scale * g.y), saturated_half(kept[i].z * scale * g.z),
                     saturated_half(kept[i].w * scale * g.w)};
    *reinterpret_cast<uint2*>(out16 + activation_at(x, blockIdx.x, at)) = *reinterpret_cast<const uint2*>(out);
  }
  for (int at = kKeep * kNormThreads * 4 + int(threadIdx.x); at < H; at += kNormThreads) out16[activation_at(x, blockIdx.x, at)] = saturated_half(h[at] * scale * weight[at]);
}

// One weight of a packed matrix, read the plain way.
__device__ float element(const PackedView& w, int64_t row, int64_t column) {
  const PackedLayout& l = w.layout;
  const int64_t unit = column / l.unit_columns();
  const int in_unit = int(column % l.unit_columns()), half = in_unit / 64, s = in_unit % 64 / 16, c = in_unit % 16, r = int(row % 16);
  const int lane = (r & 7) * 4 + (c & 7) / 2, i = (r >> 3) + 2 * (c >> 3), e = c & 1;
  const int64_t tile = row / 16;
  const uint8_t* base = w.data + ((tile / 8 * l.units() + unit) * 8 + tile % 8) * l.unit_bytes();
  const uint8_t* at = base + half * l.half_bytes();
  if (l.bits == 16) return half_bits(reinterpret_cast<const uint16_t*>(at + s * 512 + lane * 16)[2 * i + e]) * w.factor;
  int code = 0;
  if (l.bits == 8) {
    code = at[(s >> 1) * 512 + lane * 16 + (s & 1) * 8 + (i >> 1) * 4 + (i & 1) * 2 + e];
  } else {
    int shift = 0;
    if (l.bits >= 4) {
      code = (reinterpret_cast<const uint32_t*>(at + lane * 16)[s] >> (4 * i + 16 * e)) & 15;
      at += 512, shift = 4;
    }
    if (l.bits == 2 || l.bits == 3 || l.bits == 6) {
      code |= int((reinterpret_cast<const uint32_t*>(at + lane * 8)[s >> 1] >> (2 * (4 * (s & 1) + i) + 16 * e)) & 3) << shift;
      at += 256, shift += 2;
    }
    if (l.bits == 3 || l.bits == 5) code |= int((reinterpret_cast<const uint32_t*>(at)[lane] >> (4 * s + i + 16 * e)) & 1) << shift;
  }
  const uint8_t* scales = base + l.code_bytes();
  float scale = 1, min = 0, zero = float(l.zero);
  const auto* halves = reinterpret_cast<const uint16_t*>(scales);
  const int groups = 128 / l.group, g = in_unit / l.group;
  switch (l.form) {
    case ScaleForm::None: break;
    case ScaleForm::Row: scale = w.row_scale[row]; break;
    case ScaleForm::Half: scale = half_bits(halves[g * 16 + r]); break;
    case ScaleForm::HalfZero: scale = half_bits(halves[g * 16 + r]), zero = float(halves[(groups + g) * 16 + r]); break;
    case ScaleForm::HalfMin: scale = half_bits(halves[g * 16 + r]), min = half_bits(halves[(groups + g) * 16 + r]), zero = 0; break;
    case ScaleForm::Super6: {
      const int j = in_unit / 32, b = j & 3;
      const uint8_t* p = scales + r * 16;
      const int sc = j < 4 ? p[b] & 63 : (p[8 + b] & 15) | (p[b] >> 6) << 4, mn = j < 4 ? p[4 + b] & 63 : (p[8 + b] >> 4) | (p[4 + b] >> 6) << 4;
      scale = half_bits(halves[r * 8 + 6]) * float(sc), min = half_bits(halves[r * 8 + 7]) * float(mn), zero = 0;
      break;
    }
    case ScaleForm::SuperI8: scale = half_bits(halves[128 + r]) * float(int(scales[r * 16 + in_unit / 16]) - 128); break;
    case ScaleForm::SuperN4: {
      const int both = scales[r * 16 + in_unit / 16];
      scale = half_bits(halves[128 + 2 * r]) * float(both & 15), min = half_bits(halves[128 + 2 * r + 1]) * float(both >> 4), zero = 0;
      break;
    }
  }
  return (scale * (float(code) - zero) - min) * w.factor;
}

__global__ void embed_kernel(const PackedView packed, const __half* values, const int32_t* token, int64_t H, float* h) {
  dependency_release();
  dependency_wait();
  const int64_t row = token[blockIdx.y], column = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (column < H) h[int64_t(blockIdx.y) * H + column] = values ? __half2float(values[row * H + column]) : element(packed, row, column);
}

__global__ void __launch_bounds__(256) round_kernel(const Activations a, const Activations out, int64_t K, const float* scale, const float* zero) {
  dependency_release();
  dependency_wait();
  const auto* x = static_cast<const __half*>(a.data);
  const auto at = [&](int64_t i) { return x[activation_at(a, blockIdx.x, i)]; };
  float s = scale ? *scale : 0, z = zero ? *zero : 0;
  if (!scale) {
    float largest = 0;
    for (int64_t i = threadIdx.x; i < K; i += 256) largest = fmaxf(largest, fabsf(__half2float(at(i))));
    __shared__ float parts[8];
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, d));
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = largest;
    __syncthreads();
    for (int i = 0; i < 8; ++i) largest = fmaxf(largest, parts[i]);
    s = largest / 127.5f;
  }
  if (s == 0) s = 1;
  for (int64_t i = threadIdx.x; i < K; i += 256) {
    const float q = fminf(fmaxf(rintf(__half2float(at(i)) / s + z), -128.0f), 127.0f);
    static_cast<__half*>(out.data)[activation_at(out, blockIdx.x, i)] = saturated_half((q - z) * s);
  }
}

template <class T>
__global__ void silu_kernel(const T* gate_up, int64_t ldg, int64_t I, const Activations out) {
  dependency_release();
  dependency_wait();
  const int64_t column = int64_t(blockIdx.x) * blockDim.x + threadIdx.x, n = blockIdx.y;
  if (column >= I) return;
  const float gate = float(gate_up[n * ldg + column]), up = float(gate_up[n * ldg + I + column]);
  static_cast<__half*>(out.data)[activation_at(out, int(n), column)] = saturated_half(silu(gate) * up);
}

// The same for plain rows of f16, 8 columns a thread: 16 bytes a load.
__global__ void __launch_bounds__(256) silu_rows_kernel(const __half* gate_up, int64_t ldg, int64_t I, __half* out, int64_t ld) {
  const int64_t column = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * 8, n = blockIdx.y;
  if (column >= I) return;
  const __half* from = gate_up + n * ldg + column;
  const uint4 gate = __ldcs(reinterpret_cast<const uint4*>(from)), up = __ldcs(reinterpret_cast<const uint4*>(from + I));
  const auto *g = reinterpret_cast<const __half*>(&gate), *u = reinterpret_cast<const __half*>(&up);
  alignas(16) __half y[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) y[i] = saturated_half(silu(__half2float(g[i])) * __half2float(u[i]));
  *reinterpret_cast<uint4*>(out + n * ld + column) = *reinterpret_cast<const uint4*>(y);
}

// (value, index) with the larger value, of equals the lower index, as one number that compares so.
__device__ unsigned long long ranked(float value, int index) {
  const uint32_t bits = __float_as_uint(value), ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return (unsigned long long)(ordered) << 32 | uint32_t(~index);
}

constexpr int kPickBlocks = 32, kPickThreads = 512;
struct PickScratch {
  unsigned int arrived;
  unsigned int unused;
  unsigned long long best[kPickBlocks];
};

__global__ void __launch_bounds__(kPickThreads) pick_kernel(const float* logits, int64_t V, int32_t* next, int32_t* position, int32_t* history, int32_t* step, PickScratch* scratch) {
  dependency_release();
  dependency_wait();
  const int row = blockIdx.y, m = gridDim.y;
  logits += int64_t(row) * V;
  PickScratch& mine = scratch[row];
  unsigned long long best = 0;
  const int64_t piece = (V + kPickBlocks - 1) / kPickBlocks, end = min(V, (int64_t(blockIdx.x) + 1) * piece);
  for (int64_t i = blockIdx.x * piece + threadIdx.x; i < end; i += kPickThreads) best = max(best, ranked(__ldcg(logits + i), int(i)));
  __shared__ unsigned long long parts[kPickThreads / 32];
  const auto reduce = [&](unsigned long long v) {
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) v = max(v, __shfl_xor_sync(~0u, v, d));
    return v;
  };
  best = reduce(best);
  if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = best;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  best = reduce(threadIdx.x < kPickThreads / 32 ? parts[threadIdx.x] : 0);
  bool last = false;
  if (threadIdx.x == 0) {
    mine.best[blockIdx.x] = best;
    __threadfence();
    last = atomicAdd(&mine.arrived, 1u) == kPickBlocks - 1;
  }
  if (!__shfl_sync(~0u, int(last), 0)) return;
  __threadfence();
  best = reduce(__ldcg(&mine.best[threadIdx.x]));
  if (threadIdx.x != 0) return;
  mine.arrived = 0;
  const int32_t token = int32_t(~uint32_t(best));
  next[row] = token;
  position[row] += 1;
  if (history) {
    history[int64_t(step[row]) * m + row] = token;
    step[row] += 1;
  }
}

}  // namespace

void rms_norm(const float* h, const float* weight, float eps, int64_t m, int64_t H, const Activations& x, cudaStream_t stream, float* squares) {
  if (H % 4 != 0) refuse("hidden size is no multiple of 4");
  launch(norm_kernel, {dim3(unsigned(m)), dim3(kNormThreads), 0, stream, true}, h, weight, eps, int(H), x, squares);
}

void embed(const PackedView* packed, const void* values, const int32_t* token, int64_t m, int64_t H, float* h, cudaStream_t stream) {
  in_grids(m, [&](int64_t first, int64_t count) {
    launch(embed_kernel, {dim3(unsigned((H + 255) / 256), unsigned(count)), dim3(256), 0, stream, true}, packed ? *packed : PackedView{}, static_cast<const __half*>(values), token + first, H, h + first * H);
  });
}

void round_to_int8(const Activations& x, const Activations& out, int64_t m, int64_t K, const float* scale, const float* zero, cudaStream_t stream) {
  launch(round_kernel, {dim3(unsigned(m)), dim3(256), 0, stream, true}, x, out, K, scale, zero);
}

void silu_multiply(const void* gate_up, bool is_float, int64_t ldg, int64_t m, int64_t I, const Activations& out, cudaStream_t stream) {
  const auto aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  const bool rows = !is_float && out.rows == 0 && I % 8 == 0 && ldg % 8 == 0 && out.ld % 8 == 0 && aligned(gate_up) && aligned(out.data);
  in_grids(m, [&](int64_t first, int64_t count) {
    const Activations to = out.from(first);
    const auto* halves = static_cast<const __half*>(gate_up) + first * ldg;
    const LaunchShape shape{dim3(unsigned((I + 255) / 256), unsigned(count)), dim3(256), 0, stream, true};
    if (rows) launch(silu_rows_kernel, {dim3(unsigned((I + 2047) / 2048), unsigned(count)), dim3(256), 0, stream, false}, halves, ldg, I, static_cast<__half*>(to.data), to.ld);
    else if (is_float) launch(silu_kernel<float>, shape, static_cast<const float*>(gate_up) + first * ldg, ldg, I, to);
    else launch(silu_kernel<__half>, shape, halves, ldg, I, to);
  });
}

void pick_greedy(const float* logits, int64_t V, int m, int32_t* next, int32_t* position, int32_t* history, int32_t* step, void* scratch, cudaStream_t stream) {
  launch(pick_kernel, {dim3(kPickBlocks, unsigned(m)), dim3(kPickThreads), 0, stream, true}, logits, V, next, position, history, step, static_cast<PickScratch*>(scratch));
}
size_t pick_scratch_bytes(int m) { return sizeof(PickScratch) * size_t(m); }

}  // namespace teeny::cuda
