#include "teeny/core/dtype.h"

#include "teeny/core/error.h"

namespace teeny {
namespace {
constexpr DTypeTraits kTraits[] = {
    {DType::F64, "F64", 1, 8, 28, "F64"},       {DType::F32, "F32", 1, 4, 0, "F32"},
    {DType::F16, "F16", 1, 2, 1, "F16"},        {DType::BF16, "BF16", 1, 2, 30, "BF16"},
    {DType::I64, "I64", 1, 8, 27, "I64"},       {DType::I32, "I32", 1, 4, 26, "I32"},
    {DType::I16, "I16", 1, 2, 25, "I16"},       {DType::I8, "I8", 1, 1, 24, "I8"},
    {DType::U8, "U8", 1, 1, -1, "U8"},          {DType::BOOL, "BOOL", 1, 1, -1, "BOOL"},
    {DType::F8_E4M3, "F8_E4M3", 1, 1, -1, "F8_E4M3"}, {DType::F8_E5M2, "F8_E5M2", 1, 1, -1, "F8_E5M2"},
    {DType::U16, "U16", 1, 2, -1, "U16"},       {DType::U32, "U32", 1, 4, -1, "U32"},
    {DType::U64, "U64", 1, 8, -1, "U64"},
    {DType::Q4_0, "Q4_0", 32, 18, 2, ""},       {DType::Q4_1, "Q4_1", 32, 20, 3, ""},
    {DType::Q5_0, "Q5_0", 32, 22, 6, ""},       {DType::Q5_1, "Q5_1", 32, 24, 7, ""},
    {DType::Q8_0, "Q8_0", 32, 34, 8, ""},       {DType::Q2_K, "Q2_K", 256, 84, 10, ""},
    {DType::Q3_K, "Q3_K", 256, 110, 11, ""},    {DType::Q4_K, "Q4_K", 256, 144, 12, ""},
    {DType::Q5_K, "Q5_K", 256, 176, 13, ""},    {DType::Q6_K, "Q6_K", 256, 210, 14, ""},
    {DType::IQ4_NL, "IQ4_NL", 32, 18, 20, ""},  {DType::IQ4_XS, "IQ4_XS", 256, 136, 23, ""},
};
}  // namespace

const DTypeTraits& traits(DType dtype) {
  const auto index = size_t(dtype);
  TEENY_ASSERT(index < std::size(kTraits) && kTraits[index].dtype == dtype);
  return kTraits[index];
}
std::optional<DType> dtype_from_name(std::string_view name) {
  for (const auto& t : kTraits)
    if (t.name == name) return t.dtype;
  return std::nullopt;
}
std::optional<DType> dtype_from_ggml(int64_t type) {
  for (const auto& t : kTraits)
    if (t.ggml_type >= 0 && t.ggml_type == type) return t.dtype;
  return std::nullopt;
}
std::optional<DType> dtype_from_safetensors(std::string_view name) {
  for (const auto& t : kTraits)
    if (!t.safetensors.empty() && t.safetensors == name) return t.dtype;
  return std::nullopt;
}

}  // namespace teeny
