// Streaming reads: what the memory of this GPU gives, measured rather than looked up.
#include <algorithm>

#include "teeny/kernels/launch.cuh"
#include "teeny/kernels/stream_rate.h"

namespace teeny::cuda {
namespace {

__global__ void __launch_bounds__(512) read_all(const uint4* data, size_t count, uint32_t* out) {
  uint32_t sum = 0;
  const size_t stride = size_t(gridDim.x) * blockDim.x;
  size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i + 7 * stride < count; i += 8 * stride) {
    uint4 v[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) v[j] = __ldcs(data + i + j * stride);
#pragma unroll
    for (int j = 0; j < 8; ++j) sum += v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
  }
  for (; i < count; i += stride) sum += __ldcs(data + i).x;
  if (sum == 0x12345678u) *out = sum;  // never mind the value: the loads must happen
}

__global__ void fill_random(uint32_t* data, size_t count, uint32_t seed) {
  const size_t stride = size_t(gridDim.x) * blockDim.x;
  for (size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) {
    uint32_t z = uint32_t(i) * 0x9e3779b9u + seed;
    z = (z ^ (z >> 16)) * 0x85ebca6bu;
    z = (z ^ (z >> 13)) * 0xc2b2ae35u;
    data[i] = z ^ (z >> 16);
  }
}

}  // namespace

double read_bandwidth_gb_s(size_t bytes) {
  Buffer data(bytes), out(4);
  int device = 0, sms = 0;
  TEENY_CUDA(cudaGetDevice(&device));
  TEENY_CUDA(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, device));
  launch(fill_random, {dim3(unsigned(sms) * 4), dim3(512), 0, nullptr, false}, data.data<uint32_t>(), bytes / 4, 1u);
  double best = 0;
  for (int run = 0; run < 8; ++run) {
    Event begin, end;
    begin.record(nullptr);
    launch(read_all, {dim3(unsigned(sms) * 4), dim3(512), 0, nullptr, false}, data.data<uint4>(), bytes / 16, out.data<uint32_t>());
    end.record(nullptr);
    end.synchronize();
    best = std::max(best, double(bytes) * 1e-6 / double(end.milliseconds_since(begin)));
  }
  return best;
}

void fill_with_random_bytes(void* data, size_t bytes, uint32_t seed) {
  launch(fill_random, {dim3(1024), dim3(512), 0, nullptr, false}, static_cast<uint32_t*>(data), bytes / 4, seed);
}

}  // namespace teeny::cuda
