// The kernels of isa.h on a GPU: the same sources, one thread a block, the same bits. All pointers are the device's; what
// is launched runs on `stream` and is not waited for.
#pragma once
#include "encodings/ggml/isa.h"
#include "teeny/kernels/cuda.h"

namespace teeny::ggml {

struct CudaKernels {
  DType dtype;
  void (*quantize)(const float* x, const float* importance, const Blocks& out, cudaStream_t stream);
  void (*pack)(const Blocks& in, uint8_t* bytes, cudaStream_t stream);
  void (*unpack)(const uint8_t* bytes, const Blocks& out, cudaStream_t stream);
  void (*decode)(const uint8_t* bytes, int64_t blocks, float* out, cudaStream_t stream);
};
// Stored plain floats to f32; what is not finite becomes 0, and *first_bad (preset to all ones) the least index of such.
void widen(DType from, const void* stored, int64_t n, float* out, unsigned long long* first_bad, cudaStream_t stream);
struct SquarePair {
  double difference, original;  // sum (w - q)^2, sum w^2
};
constexpr int kSumBlocks = 128;  // shares that add_squares leaves, however many weights there are
void add_squares(const float* w, const float* q, int64_t n, SquarePair* partial, cudaStream_t stream);

const CudaKernels* cuda_kernels_of(DType dtype);  // null in a build without kernels

}  // namespace teeny::ggml
