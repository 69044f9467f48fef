#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "encodings/common/affine_cuda.h"
#include "teeny/kernels/launch.cuh"

namespace teeny {
namespace {

constexpr int kWarps = 8;
constexpr unsigned kAll = 0xffffffffu;

__device__ float stored(float scale, int kind) {
  if (kind == 0) return __half2float(__float2half_rn(scale));
  if (kind == 1) return __bfloat162float(__float2bfloat16_rn(scale));
  return scale;
}

// affine.cpp's grid_of for one group.
__device__ void grid_of(const AffineSearchView& v, float low, float high, float& scale, float& zero) {
  const float hi = float((1 << v.bits) - 1);
  scale = stored((high - low) / hi, v.scale_kind);
  if (v.symmetric) {
    zero = float(1 << (v.bits - 1));
    return;
  }
  zero = scale > 0 ? fminf(fmaxf(rintf(-low / scale), 0.f), hi) : 0.f;
  if (v.zero_min > 0 && zero < float(v.zero_min)) {
    const float wider = stored(high / (hi - float(v.zero_min)), v.scale_kind);
    scale = wider > scale ? wider : scale;
    zero = float(v.zero_min);
  }
}

// A warp a group. Lane l adds the squared errors of columns l, l + 32 ..; the lanes are folded as a tree.
__global__ void __launch_bounds__(32 * kWarps) search_kernel(AffineSearchView v) {
  const int64_t groups = v.cols / v.group, index = int64_t(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (index >= v.rows * groups) return;
  const int lane = threadIdx.x % 32;
  const float* w = v.w + index / groups * v.cols + index % groups * v.group;
  const float* importance = v.importance ? v.importance + index % groups * v.group : nullptr;
  const float hi = float((1 << v.bits) - 1), low = v.low[index], high = v.high[index];
  float best_scale = 0, best_zero = 0, best = 0;
  for (int i = 0; i < 80; ++i) {
    const float p = float(1.0 - i / 100.0);
    float scale, zero, error = 0;
    grid_of(v, low * p, high * p, scale, zero);
    for (int64_t k = lane; k < v.group; k += 32) {
      const float x = w[k], steps = (scale != 0 ? rintf(x / scale) : 0.f) + zero, q = fminf(fmaxf(steps, 0.f), hi);
      const float d = (q - zero) * scale - x, square = d * d;
      error += importance ? square * importance[k] : square;
    }
#pragma unroll
    for (int width = 16; width > 0; width /= 2) error += __shfl_xor_sync(kAll, error, width);
    if (i == 0 || error < best) best = error, best_scale = scale, best_zero = zero;
  }
  if (lane == 0) v.scale[index] = best_scale, v.zero[index] = best_zero;
}

}  // namespace

void search_affine_cuda(const AffineSearchView& view, cudaStream_t stream) {
  const int64_t groups = view.rows * (view.cols / view.group);
  cuda::launch(search_kernel, {dim3(unsigned((groups + kWarps - 1) / kWarps)), dim3(32 * kWarps), 0, stream}, view);
}

}  // namespace teeny
