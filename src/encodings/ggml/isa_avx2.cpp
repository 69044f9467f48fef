// The GGML kernels for CPUs with AVX2.
#include "encodings/ggml/isa.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx2")
#pragma GCC diagnostic ignored "-Wpsabi"  // vector arguments: every function that takes one is inlined
#define TEENY_ISA avx2
#define TEENY_LANES 8
#include "encodings/ggml/kernels/all.h"

namespace teeny::ggml {
const TypeKernels* kernels_avx2(size_t& count) {
  count = sizeof avx2::kTable / sizeof avx2::kTable[0];
  return avx2::kTable;
}
}  // namespace teeny::ggml
#else
namespace teeny::ggml {
const TypeKernels* kernels_avx2(size_t& count) {
  count = 0;
  return nullptr;
}
}  // namespace teeny::ggml
#endif
