// The kernels of the GGML encodings, compiled once per instruction set; the results are the same bits on each.
// Includes all that the kernel files need, because nothing may be included after their `#pragma GCC target`.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "encodings/ggml/block.h"
#include "teeny/core/dtype.h"
#include "teeny/core/half.h"

namespace teeny::ggml {

// Rows of weights in pieces: what a search finds, and what pack() stores. Rows are contiguous; B blocks a row, S scales a block.
struct Blocks {
  int64_t rows = 0, cols = 0;
  uint8_t* codes = nullptr;  // (rows, cols), 0..hi
  uint16_t* d = nullptr;     // (rows, B) fp16 bits
  uint16_t* m = nullptr;     // (rows, B) fp16 bits: minimum (Q4_1, Q5_1) or dmin; null when the type has none
  int8_t* sc = nullptr;      // (rows, B * S) integer scales; null when S is 1
  int8_t* mn = nullptr;      // (rows, B * S) integer minima; null when the type has none
};

struct GgmlType {
  DType dtype;
  int block;  // weights a block
  int sub;    // weights a scale
  int bytes;
  int hi;      // largest code
  int zero;    // code that means 0
  bool min;    // has minima
  const float* table;  // codebook, or null
  int subs() const { return block / sub; }
};

struct TypeKernels {
  DType dtype;
  // x: (rows, cols) f32; importance: (cols) or null. Fills all of `out`.
  void (*quantize)(const float* x, const float* importance, const Blocks& out);
  void (*pack)(const Blocks& in, uint8_t* bytes);
  void (*unpack)(const uint8_t* bytes, const Blocks& out);
  void (*decode)(const uint8_t* bytes, int64_t blocks, float* out);
};

std::span<const TypeKernels> kernels_base();
std::span<const TypeKernels> kernels_avx2();  // empty when the build has none
std::span<const TypeKernels> kernels_avx512();

// What this CPU can run, slowest first.
std::vector<std::span<const TypeKernels>> available_kernels();

std::span<const GgmlType> all_types();
const GgmlType& type_of(DType dtype);          // Bug error for another dtype
const TypeKernels& kernels_of(DType dtype);    // of the best instruction set of this CPU

// fp16 bits, with numbers beyond its range at the largest finite one and NaN at 0, so that no stored scale is infinite.
constexpr uint16_t to_half(float f) {
  const uint16_t h = float_to_half(f);
  if ((h & 0x7c00) != 0x7c00) return h;
  return (h & 0x3ff) ? uint16_t(0) : uint16_t((h & 0x8000) | 0x7bff);
}

}  // namespace teeny::ggml
