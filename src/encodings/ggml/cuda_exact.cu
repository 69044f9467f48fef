// The GGML kernels for GPUs. Nothing but the lanes differs from the CPU's sources (see common/lanes_cuda.h).
#include <cstring>

#include "encodings/ggml/cuda.h"
#include "teeny/kernels/launch.cuh"

namespace teeny::ggml {
namespace device {
namespace {

#include "encodings/common/lanes_cuda.h"
#include "encodings/common/search_affine.h"
#include "encodings/common/search_scaled.h"
#include "encodings/ggml/kernels/layout.h"
#include "encodings/ggml/kernels/store.h"
#include "encodings/ggml/kernels/group.h"
#include "encodings/ggml/kernels/k_affine.h"
#include "encodings/ggml/kernels/k_scaled.h"
#include "encodings/ggml/kernels/legacy.h"
#include "encodings/ggml/kernels/iq4.h"

constexpr int kThreads = 64;  // a block of threads; small, because a piece of a weight is only some thousand GGML blocks

__device__ __forceinline__ int64_t thread_index() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }

template <class Shape, bool weighted>
__global__ void __launch_bounds__(kThreads) quantize_kernel(const float* x, const float* importance, Blocks out) {
  const int64_t b = thread_index();
  if (b >= out.rows * out.cols / Shape::block) return;
  typename Search<Shape>::State state{};
  Search<Shape>::group(x, weighted ? importance : nullptr, out, b, state);
}

template <class Shape>
__global__ void __launch_bounds__(kThreads) pack_kernel(Blocks in, uint8_t* bytes) {
  if (const int64_t b = thread_index(); b < in.rows * in.cols / Shape::block) pack_block<Shape>(in, b, bytes);
}

template <class Shape>
__global__ void __launch_bounds__(kThreads) unpack_kernel(const uint8_t* bytes, Blocks out) {
  if (const int64_t b = thread_index(); b < out.rows * out.cols / Shape::block) unpack_block<Shape>(bytes, b, out);
}

template <class Shape, bool table>
__global__ void __launch_bounds__(kThreads) decode_kernel(const uint8_t* bytes, int64_t blocks, float* out) {
  if (const int64_t b = thread_index(); b < blocks) decode_block<Shape, table>(bytes, b, out);
}

cuda::LaunchShape shape_for(int64_t blocks, cudaStream_t stream) { return {dim3(unsigned((blocks + kThreads - 1) / kThreads)), dim3(kThreads), 0, stream}; }

template <class Shape>
void quantize(const float* x, const float* importance, const Blocks& out, cudaStream_t stream) {
  const auto shape = shape_for(out.rows * out.cols / Shape::block, stream);
  if (importance) cuda::launch(quantize_kernel<Shape, true>, shape, x, importance, out);
  else cuda::launch(quantize_kernel<Shape, false>, shape, x, importance, out);
}

template <class Shape>
void pack(const Blocks& in, uint8_t* bytes, cudaStream_t stream) {
  cuda::launch(pack_kernel<Shape>, shape_for(in.rows * in.cols / Shape::block, stream), in, bytes);
}

template <class Shape>
void unpack(const uint8_t* bytes, const Blocks& out, cudaStream_t stream) {
  cuda::launch(unpack_kernel<Shape>, shape_for(out.rows * out.cols / Shape::block, stream), bytes, out);
}

template <class Shape, bool table>
void decode(const uint8_t* bytes, int64_t blocks, float* out, cudaStream_t stream) {
  cuda::launch(decode_kernel<Shape, table>, shape_for(blocks, stream), bytes, blocks, out);
}

template <class Shape, bool table = false>
constexpr CudaKernels row(DType dtype) {
  return {dtype, quantize<Shape>, pack<Shape>, unpack<Shape>, decode<Shape, table>};
}

constexpr CudaKernels kTable[] = {
    row<ShapeQ8_0>(DType::Q8_0),
    row<ShapeQ4_0>(DType::Q4_0),
    row<ShapeQ4_1>(DType::Q4_1),
    row<ShapeQ5_0>(DType::Q5_0),
    row<ShapeQ5_1>(DType::Q5_1),
    row<ShapeQ2_K>(DType::Q2_K),
    row<ShapeQ3_K>(DType::Q3_K),
    row<ShapeQ4_K>(DType::Q4_K),
    row<ShapeQ5_K>(DType::Q5_K),
    row<ShapeQ6_K>(DType::Q6_K),
    row<ShapeIQ4_NL, true>(DType::IQ4_NL),
    row<ShapeIQ4_XS, true>(DType::IQ4_XS),
};

}  // namespace
}  // namespace device

const CudaKernels* cuda_kernels_of(DType dtype) {
  for (const auto& row : device::kTable)
    if (row.dtype == dtype) return &row;
  return nullptr;
}

}  // namespace teeny::ggml
