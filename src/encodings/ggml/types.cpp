// The table of GGML types and the choice of instruction set.
#include "encodings/ggml/isa.h"
#include "teeny/core/error.h"

namespace teeny::ggml {
namespace {

constexpr float kIq4Table[16] = {iq4_value(0), iq4_value(1), iq4_value(2),  iq4_value(3),  iq4_value(4),  iq4_value(5),  iq4_value(6),  iq4_value(7),
                                 iq4_value(8), iq4_value(9), iq4_value(10), iq4_value(11), iq4_value(12), iq4_value(13), iq4_value(14), iq4_value(15)};

constexpr GgmlType kTypes[] = {
    // dtype, weights a block, weights a scale, bytes, largest code, zero, minima, table
    {DType::Q8_0, 32, 32, 34, 255, 128, false, nullptr},
    {DType::Q4_0, 32, 32, 18, 15, 8, false, nullptr},
    {DType::Q4_1, 32, 32, 20, 15, 0, true, nullptr},
    {DType::Q5_0, 32, 32, 22, 31, 16, false, nullptr},
    {DType::Q5_1, 32, 32, 24, 31, 0, true, nullptr},
    {DType::Q2_K, 256, 16, 84, 3, 0, true, nullptr},
    {DType::Q3_K, 256, 16, 110, 7, 4, false, nullptr},
    {DType::Q4_K, 256, 32, 144, 15, 0, true, nullptr},
    {DType::Q5_K, 256, 32, 176, 31, 0, true, nullptr},
    {DType::Q6_K, 256, 16, 210, 63, 32, false, nullptr},
    {DType::IQ4_NL, 32, 32, 18, 15, 0, false, kIq4Table},
    {DType::IQ4_XS, 256, 32, 136, 15, 0, false, kIq4Table},
};

}  // namespace

const GgmlType& type_of(DType dtype) {
  for (const auto& type : kTypes)
    if (type.dtype == dtype) return type;
  throw Error(ErrorKind::Bug, "ggml", name_of(dtype), "is not a block type");
}

std::span<const GgmlType> all_types() { return kTypes; }

std::vector<std::span<const TypeKernels>> available_kernels() {
  std::vector<std::span<const TypeKernels>> all{kernels_base()};
#if defined(__x86_64__) && defined(__GNUC__)
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (__builtin_cpu_supports("avx2") && !kernels_avx2().empty()) all.push_back(kernels_avx2());
  if (avx512 && !kernels_avx512().empty()) all.push_back(kernels_avx512());
#endif
  return all;
}

const TypeKernels& kernels_of(DType dtype) {
  static const auto best = available_kernels().back();
  for (const auto& row : best)
    if (row.dtype == dtype) return row;
  throw Error(ErrorKind::Bug, "ggml", name_of(dtype), "has no kernels");
}

}  // namespace teeny::ggml
