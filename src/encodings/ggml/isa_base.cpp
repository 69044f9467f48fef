// The GGML kernels for any CPU (SSE2 on x86-64, NEON on arm64).
#include "encodings/ggml/isa.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // vector arguments: every function that takes one is inlined
#define TEENY_ISA base
#define TEENY_LANES 4
#include "encodings/ggml/kernels/all.h"

namespace teeny::ggml {
std::span<const TypeKernels> kernels_base() { return base::kTable; }
}  // namespace teeny::ggml
