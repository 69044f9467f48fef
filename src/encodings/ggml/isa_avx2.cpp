// The GGML kernels for CPUs with AVX2.
#include "encodings/ggml/isa.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx2")
#pragma GCC diagnostic ignored "-Wpsabi"  // vector arguments: every function that takes one is inlined
#define TEENY_ISA avx2
#define TEENY_LANES 8
#include "encodings/ggml/kernels/all.h"

namespace teeny::ggml {
std::span<const TypeKernels> kernels_avx2() { return avx2::kTable; }
}  // namespace teeny::ggml
#else
namespace teeny::ggml {
std::span<const TypeKernels> kernels_avx2() { return {}; }
}  // namespace teeny::ggml
#endif
