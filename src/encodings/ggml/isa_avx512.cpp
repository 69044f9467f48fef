// The GGML kernels for CPUs with AVX512.
#include "encodings/ggml/isa.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#pragma GCC diagnostic ignored "-Wpsabi"  // vector arguments: every function that takes one is inlined
#define TEENY_ISA avx512
#define TEENY_LANES 16
#include "encodings/ggml/kernels/all.h"

namespace teeny::ggml {
std::span<const TypeKernels> kernels_avx512() { return avx512::kTable; }
}  // namespace teeny::ggml
#else
namespace teeny::ggml {
std::span<const TypeKernels> kernels_avx512() { return {}; }
}  // namespace teeny::ggml
#endif
