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

template <class Shape>
void quantize(const float* x, const float* importance, const Blocks& out) {
  const int64_t blocks = out.rows * out.cols / Shape::block;
  typename Search<Shape>::State state{};
  for (int64_t first = 0; first < blocks; first += kLanes) Search<Shape>::group(x, importance, out, first, state);
}

template <class Shape>
void pack(const Blocks& in, uint8_t* bytes) {
  const int64_t blocks = in.rows * in.cols / Shape::block;
  for (int64_t b = 0; b < blocks; ++b) pack_block<Shape>(in, b, bytes);
}

template <class Shape>
void unpack(const uint8_t* bytes, const Blocks& out) {
  const int64_t blocks = out.rows * out.cols / Shape::block;
  for (int64_t b = 0; b < blocks; ++b) unpack_block<Shape>(bytes, b, out);
}

template <class Shape, bool table>
void decode(const uint8_t* bytes, int64_t blocks, float* out) {
  for (int64_t b = 0; b < blocks; ++b) decode_block<Shape, table>(bytes, b, out);
}

template <class Shape, bool table = false>
constexpr TypeKernels row(DType dtype) {
  return {dtype, quantize<Shape>, pack<Shape>, unpack<Shape>, decode<Shape, table>};
}

constexpr TypeKernels kTable[] = {
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
}  // namespace teeny::ggml::TEENY_ISA
