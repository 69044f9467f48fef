// Every element type that a tensor in a file may have: plain scalars and GGML's blocks.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace teeny {

enum class DType : uint8_t {
  F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL, F8_E4M3, F8_E5M2, U16, U32, U64,
  Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS,
};

struct DTypeTraits {
  DType dtype;
  std::string_view name;         // "F16", "Q4_K"
  int64_t block;                 // elements a block (1 for scalars); blocks run along the innermost dimension
  int64_t bytes;                 // bytes a block
  int ggml_type;                 // number in GGUF files, -1: cannot be in one
  std::string_view safetensors;  // name in safetensors headers, empty: cannot be in one
  double bits_per_weight() const { return 8.0 * double(bytes) / double(block); }
  bool scalar() const { return block == 1; }
};

const DTypeTraits& traits(DType dtype);
std::optional<DType> dtype_from_name(std::string_view name);
std::optional<DType> dtype_from_ggml(int64_t type);
std::optional<DType> dtype_from_safetensors(std::string_view name);
inline std::string_view name_of(DType dtype) { return traits(dtype).name; }

}  // namespace teeny
