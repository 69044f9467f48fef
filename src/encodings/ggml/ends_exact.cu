// The two ends of a lane (device_rows_cuda.cpp): stored floats to f32, and the sums that the error is made of.
#include <algorithm>

#include "encodings/ggml/cuda.h"
#include "teeny/kernels/launch.cuh"

namespace teeny::ggml {
namespace {

constexpr int kThreads = 256;

template <DType from>
__device__ float widen(const void* in, int64_t i) {
  if constexpr (from == DType::F32) return static_cast<const float*>(in)[i];
  else if constexpr (from == DType::F16) return half_to_float(static_cast<const uint16_t*>(in)[i]);
  else return bf16_to_float(static_cast<const uint16_t*>(in)[i]);
}

template <DType from>
__global__ void __launch_bounds__(kThreads) widen_kernel(const void* in, int64_t n, float* out, unsigned long long* first_bad) {
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < n; i += int64_t(gridDim.x) * kThreads) {
    float w = widen<from>(in, i);
    if (!isfinite(w)) {
      atomicMin(first_bad, static_cast<unsigned long long>(i));  // the least of all, in whatever order they come
      w = 0;
    }
    out[i] = w;
  }
}

// Every block adds its own share, every thread of it every 256th weight; then the block's threads are folded as a tree.
__global__ void __launch_bounds__(kThreads) sums_kernel(const float* w, const float* q, int64_t n, SquarePair* partial) {
  double difference = 0, original = 0;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < n; i += int64_t(kSumBlocks) * kThreads) {
    const float d = w[i] - q[i];
    difference += double(d * d), original += double(w[i] * w[i]);
  }
  __shared__ double sums[2][kThreads];
  sums[0][threadIdx.x] = difference, sums[1][threadIdx.x] = original;
  for (int width = kThreads / 2; width > 0; width /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < width)
      for (auto& sum : sums) sum[threadIdx.x] += sum[threadIdx.x + width];
  }
  if (threadIdx.x == 0) partial[blockIdx.x] = {sums[0][0], sums[1][0]};
}

}  // namespace

void widen(DType from, const void* stored, int64_t n, float* out, unsigned long long* first_bad, cudaStream_t stream) {
  const auto kernel = from == DType::F32 ? widen_kernel<DType::F32> : from == DType::F16 ? widen_kernel<DType::F16> : widen_kernel<DType::BF16>;
  const auto grid = unsigned(std::min<int64_t>((n + kThreads - 1) / kThreads, 4096));
  cuda::launch(kernel, {dim3(grid), dim3(kThreads), 0, stream}, stored, n, out, first_bad);
}

void add_squares(const float* w, const float* q, int64_t n, SquarePair* partial, cudaStream_t stream) {
  cuda::launch(sums_kernel, {dim3(kSumBlocks), dim3(kThreads), 0, stream}, w, q, n, partial);
}

}  // namespace teeny::ggml
