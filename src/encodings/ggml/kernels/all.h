// All kernels of one instruction set, in namespace TEENY_ISA, and their table. Include last, once per source file, with
// TEENY_ISA and TEENY_LANES defined and the target pragma set.
namespace teeny::ggml::TEENY_ISA {
namespace {

#include "encodings/common/lanes.h"
#include "encodings/common/search_affine.h"
#include "encodings/common/search_scaled.h"
#include "encodings/ggml/kernels/layout.h"
#include "encodings/ggml/kernels/store.h"
#include "encodings/ggml/kernels/group.h"
#include "encodings/ggml/kernels/k_affine.h"
#include "encodings/ggml/kernels/k_scaled.h"
#include "encodings/ggml/kernels/legacy.h"
#include "encodings/ggml/kernels/iq4.h"

template <class Shape, bool table = false>
constexpr TypeKernels row(DType dtype, void (*quantize)(const float*, const float*, const Blocks&)) {
  return {dtype, quantize, pack<Shape>, unpack<Shape>, decode<Shape, table>};
}

constexpr TypeKernels kTable[] = {
    row<ShapeQ8_0>(DType::Q8_0, quantize_q8_0),
    row<ShapeQ4_0>(DType::Q4_0, quantize_legacy<ShapeQ4_0>),
    row<ShapeQ4_1>(DType::Q4_1, quantize_legacy<ShapeQ4_1>),
    row<ShapeQ5_0>(DType::Q5_0, quantize_legacy<ShapeQ5_0>),
    row<ShapeQ5_1>(DType::Q5_1, quantize_legacy<ShapeQ5_1>),
    row<ShapeQ2_K>(DType::Q2_K, quantize_affine<ShapeQ2_K>),
    row<ShapeQ3_K>(DType::Q3_K, quantize_q3_k),
    row<ShapeQ4_K>(DType::Q4_K, quantize_affine<ShapeQ4_K>),
    row<ShapeQ5_K>(DType::Q5_K, quantize_affine<ShapeQ5_K>),
    row<ShapeQ6_K>(DType::Q6_K, quantize_q6_k),
    row<ShapeIQ4_NL, true>(DType::IQ4_NL, quantize_iq4_nl),
    row<ShapeIQ4_XS, true>(DType::IQ4_XS, quantize_iq4_xs),
};

}  // namespace
}  // namespace teeny::ggml::TEENY_ISA
