// What stands around an int8 product of many tokens (W8A8): tokens to int8, a packed weight's codes to int8 rows, int32
// sums to values.
#include "kernels/cuda/linear_small.cuh"
#include "teeny/kernels/decode_step.h"

namespace teeny::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) tokens_kernel(const __half* x, int64_t ld, int64_t K, const float* given, int8_t* out, float* scale) {
  const __half* row = x + int64_t(blockIdx.x) * ld;
  float s = given ? *given : 0;
  if (!given) {
    float largest = 0;
    for (int64_t i = threadIdx.x; i < K; i += kThreads) largest = fmaxf(largest, fabsf(__half2float(row[i])));
    __shared__ float parts[kThreads / 32];
#pragma unroll
    for (int d = 16; d > 0; d >>= 1) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, d));
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = largest;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kThreads / 32; ++i) largest = fmaxf(largest, parts[i]);
    s = largest / 127.5f;
  }
  if (s == 0) s = 1;
  if (threadIdx.x == 0) scale[blockIdx.x] = s;
  for (int64_t i = threadIdx.x; i < K; i += kThreads) out[int64_t(blockIdx.x) * K + i] = int8_t(fminf(fmaxf(rintf(__half2float(row[i]) / s), -128.0f), 127.0f));
}

// A warp turns a half of a tile, 16 rows of 64 codes, into rows; they leave through shared memory in pieces of 16 bytes.
__global__ void __launch_bounds__(kThreads) codes_kernel(const PackedView w, int64_t tile0, int64_t tile_stride, int64_t rows, int8_t* out) {
  __shared__ __align__(16) uint8_t staged[kThreads / 32][16][80];
  const PackedLayout& l = w.layout;
  const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, halves = l.halves();
  const int64_t item = int64_t(blockIdx.x) * (kThreads / 32) + warp, per_tile = l.units() * halves, out_tile = item / per_tile;
  if (out_tile * 16 >= rows) return;
  const int64_t tile = tile0 + out_tile * tile_stride, unit = item % per_tile / halves, half = item % halves;
  const uint8_t* from = w.data + ((tile / 8 * l.units() + unit) * 8 + tile % 8) * l.unit_bytes() + half * l.half_bytes();
  auto& mine = staged[warp];
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    const uint4 codes = *reinterpret_cast<const uint4*>(from + part * 512 + lane * 16);
    const uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
#pragma unroll
    for (int word = 0; word < 4; ++word)  // step 2 part + word / 2, columns 8 (word % 2) + 2 t, + 1: row g in the low half, g + 8 in the high
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const uint32_t two = ((words[word] >> (16 * r)) & 0xffff) ^ 0x8080;  // code - 128
        *reinterpret_cast<uint16_t*>(&mine[(lane >> 2) + 8 * r][16 * (2 * part + word / 2) + 8 * (word % 2) + 2 * (lane & 3)]) = uint16_t(two);
      }
  }
  __syncwarp();
  for (int at = lane; at < 64; at += 32) {
    const int r = at >> 2, piece = (at & 3) * 16;
    const int64_t row = out_tile * 16 + r, column = unit * l.unit_columns() + half * 64 + piece;
    if (row < rows && column < l.K) *reinterpret_cast<uint4*>(out + row * l.K + column) = *reinterpret_cast<const uint4*>(&mine[r][piece]);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) sums_kernel(const int32_t* sums, int64_t N, const float* token_scale, const float* row_scale, const float* bias, bool add, T* out, int64_t ld) {
  const int64_t n = int64_t(blockIdx.x) * kThreads + threadIdx.x, t = blockIdx.y;
  if (n >= N) return;
  float y = float(sums[t * N + n]) * (token_scale[t] * row_scale[n]) + (bias ? bias[n] : 0.0f);
  if constexpr (sizeof(T) == 2) {
    out[t * ld + n] = saturated_half(y);
  } else {
    if (add) y += out[t * ld + n];
    out[t * ld + n] = y;
  }
}

}  // namespace

void tokens_to_int8(const void* x, int64_t ld, int64_t T, int64_t K, const float* given, int8_t* out, float* scale, cudaStream_t stream) {
  launch(tokens_kernel, {dim3(unsigned(T)), dim3(kThreads), 0, stream, false}, static_cast<const __half*>(x), ld, K, given, out, scale);
}

bool unpacks_to_int8(const PackedLayout& l) { return l.bits == 8 && l.form == ScaleForm::Row && l.zero == 128 && l.K % 16 == 0; }

void unpack_int8(const PackedView& weight, int64_t rows, int64_t tile0, int64_t tile_stride, int8_t* out, cudaStream_t stream) {
  if (!unpacks_to_int8(weight.layout)) refuse("no int8 rows of this layout");
  const int64_t items = (rows + 15) / 16 * weight.layout.units() * weight.layout.halves(), warps = kThreads / 32;
  launch(codes_kernel, {dim3(unsigned((items + warps - 1) / warps)), dim3(kThreads), 0, stream, false}, weight, tile0, tile_stride, rows, out);
}

void finish_int8(const int32_t* sums, int64_t T, int64_t N, const float* token_scale, const float* row_scale, const float* bias, bool is_float, bool add, void* out, int64_t ld,
                 cudaStream_t stream) {
  in_grids(T, [&](int64_t first, int64_t count) {
    const LaunchShape shape{dim3(unsigned((N + kThreads - 1) / kThreads), unsigned(count)), dim3(kThreads), 0, stream, false};
    if (is_float) launch(sums_kernel<float>, shape, sums + first * N, N, token_scale + first, row_scale, bias, add, static_cast<float*>(out) + first * ld, ld);
    else launch(sums_kernel<__half>, shape, sums + first * N, N, token_scale + first, row_scale, bias, false, static_cast<__half*>(out) + first * ld, ld);
  });
}

}  // namespace teeny::cuda
