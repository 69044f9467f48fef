// What the bits of a weight look like, as plain data: enough to plan files and memory without libtorch. The engine's
// Encoding of the same spec produces exactly these parts (a conformance test holds the two together).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "teeny/core/dtype.h"

namespace teeny {

enum class EncodingKind {
  Plain,   // F32, F16, BF16: no quantization
  Ggml,    // one of GGML's block types
  Gptq,    // qweight packed along K, qzeros, scales fp16, g_idx (GPTQ v1; v2 when zero_offset is 0)
  Awq,     // AutoAWQ GEMM: qweight packed along N in nibble order 0 2 4 6 1 3 5 7
  BnbInt8, // bitsandbytes LLM.int8: weight int8, SCB float32, weight_format
  BnbNf4,  // bitsandbytes 4 bits: two codes a byte, absmax of each `group` weights (double quantization resolved), quant_map
  BnbFp4,
  CtPacked,  // compressed-tensors pack-quantized: weight_packed along K, weight_scale (N, G), weight_zero_point when asymmetric
  CtInt,     // compressed-tensors int-quantized: weight int8, weight_scale (N, G); the kind that carries int8 activations
};

struct EncodingSpec {
  EncodingKind kind = EncodingKind::Plain;
  DType dtype = DType::F32;  // Plain and Ggml: the element type
  int bits = 16;             // affine kinds
  int64_t group = -1;        // columns that share a scale; -1: the whole row
  bool symmetric = true;
  int zero_offset = 1;       // Gptq: 1 = v1 (stored zero is z - 1), 0 = v2
  bool tensor_scale = false; // granularity tensor: every channel scale is the same number
  DType scale_dtype = DType::F16;  // of the stored scales of Gptq, Awq, CtPacked, CtInt
  bool ordered = false;      // CtPacked: weight_g_idx is stored (GPTQ always has g_idx)
  int act_bits = 16;         // CtInt: 8 when the linear's input is rounded to int8 too
  bool act_static = false;   // with act_bits 8: input_scale (1) is stored; else scales are per token, nothing is stored
  bool act_symmetric = true; // with act_static: false stores input_zero_point (1) too

  std::string name() const;              // "q4_k", "gptq_int4_g128_sym", "ct_w8a8_channel_sym", "int8_row", "f16"
  bool operator==(const EncodingSpec&) const = default;
};

// One tensor of an encoded weight as a container stores it.
struct EncodingPart {
  std::string suffix;          // "weight", "qweight", "scales" ...: the file's name is "<module>.<suffix>"
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  uint64_t bytes() const;
};

// Parts of an (N, K) weight. Throws Input when N or K does not fit the encoding (K % group, K % 32, N % 8 ...); `subject`
// is the tensor's name and appears in the message.
std::vector<EncodingPart> encoding_parts(const EncodingSpec& spec, int64_t N, int64_t K, std::string_view subject);
double bits_per_weight(const EncodingSpec& spec, int64_t N, int64_t K);

}  // namespace teeny
