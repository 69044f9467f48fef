#include "teeny/core/encoding_spec.h"

#include <algorithm>
#include <cctype>

#include "teeny/core/error.h"

namespace teeny {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return out;
}

void require(bool holds, std::string_view subject, std::string_view what) {
  if (!holds) throw input_error("plan", subject, "{}", what);
}

int64_t largest_group(int64_t K, int64_t group) {
  for (int64_t g = std::min(group, K); g > 1; --g)
    if (K % g == 0 && g % 4 == 0) return g;
  return 1;
}

void require_group(const EncodingSpec& spec, int64_t K, std::string_view subject) {
  if (spec.group > 0 && K % spec.group != 0)
    throw input_error("plan", subject, "K={} is not a multiple of group {}; pass --group {} or --granularity channel", K,
                      spec.group, largest_group(K, spec.group));
}

std::vector<EncodingPart> gptq_parts(const EncodingSpec& spec, int64_t N, int64_t K, std::string_view subject) {
  require_group(spec, K, subject);
  require(K % 32 == 0 && N % 32 == 0, subject, fmt::format("shape ({}, {}) must be multiples of 32 for GPTQ's packing; choose another --format", N, K));
  const int64_t G = spec.group > 0 ? K / spec.group : 1;
  return {{"qweight", DType::I32, {K * spec.bits / 32, N}},
          {"qzeros", DType::I32, {G, N * spec.bits / 32}},
          {"scales", spec.scale_dtype, {G, N}},
          {"g_idx", DType::I32, {K}}};
}

std::vector<EncodingPart> awq_parts(const EncodingSpec& spec, int64_t N, int64_t K, std::string_view subject) {
  require_group(spec, K, subject);
  require(N % 8 == 0, subject, fmt::format("N={} is not a multiple of 8, which AWQ's packing needs; choose another --format", N));
  const int64_t G = spec.group > 0 ? K / spec.group : 1;
  return {{"qweight", DType::I32, {K, N / 8}}, {"qzeros", DType::I32, {G, N / 8}}, {"scales", spec.scale_dtype, {G, N}}};
}

int64_t words(int64_t codes, int bits) { return (codes * bits + 31) / 32; }

std::vector<EncodingPart> ct_packed_parts(const EncodingSpec& spec, int64_t N, int64_t K, std::string_view subject) {
  require_group(spec, K, subject);
  const int64_t G = spec.group > 0 ? K / spec.group : 1;
  std::vector<EncodingPart> parts = {{"weight_packed", DType::I32, {N, words(K, spec.bits)}}, {"weight_scale", spec.scale_dtype, {N, G}}};
  if (!spec.symmetric) parts.push_back({"weight_zero_point", DType::I32, {words(N, spec.bits), G}});
  parts.push_back({"weight_shape", DType::I64, {2}});
  if (spec.ordered) parts.push_back({"weight_g_idx", DType::I32, {K}});
  return parts;
}

std::vector<EncodingPart> ct_int_parts(const EncodingSpec& spec, int64_t N, int64_t K, std::string_view subject) {
  require_group(spec, K, subject);
  const int64_t G = spec.group > 0 ? K / spec.group : 1;
  std::vector<EncodingPart> parts = {{"weight", DType::I8, {N, K}}, {"weight_scale", spec.scale_dtype, {N, G}}};
  if (!spec.symmetric) parts.push_back({"weight_zero_point", DType::I8, {N, G}});
  if (spec.act_bits == 8 && spec.act_static) {
    parts.push_back({"input_scale", spec.scale_dtype, {1}});
    if (!spec.act_symmetric) parts.push_back({"input_zero_point", DType::I8, {1}});
  }
  return parts;
}

std::vector<EncodingPart> bnb_4bit_parts(const EncodingSpec& spec, int64_t N, int64_t K, std::string_view subject) {
  require(spec.group > 0 && K % spec.group == 0, subject,
          fmt::format("K={} is not a multiple of the block of {}: blocks that span rows of bitsandbytes' 4-bit weights are not supported", K, spec.group));
  return {{"weight", DType::U8, {N * K / 2, 1}}, {"weight.absmax", DType::F32, {N * K / spec.group}}, {"weight.quant_map", DType::F32, {16}}};
}

std::string prefix_of(const EncodingSpec& spec) {
  switch (spec.kind) {
    case EncodingKind::Gptq: return fmt::format("{}_int{}", spec.zero_offset ? "gptq" : "gptq_v2", spec.bits);
    case EncodingKind::Awq: return fmt::format("awq_int{}", spec.bits);
    case EncodingKind::CtInt: return fmt::format("ct_w{}a{}{}", spec.bits, spec.act_bits, spec.act_bits == 8 && spec.act_static ? "_static" : "");
    default: return fmt::format("ct_int{}", spec.bits);
  }
}

}  // namespace

std::string EncodingSpec::name() const {
  switch (kind) {
    case EncodingKind::Plain:
    case EncodingKind::Ggml: return lower(name_of(dtype));
    case EncodingKind::BnbInt8: return tensor_scale ? "int8_tensor" : "int8_row";
    case EncodingKind::BnbNf4: return fmt::format("nf4_g{}", group);
    case EncodingKind::BnbFp4: return fmt::format("fp4_g{}", group);
    default: break;
  }
  const std::string grain = tensor_scale ? "tensor" : group > 0 ? fmt::format("g{}", group) : "channel";
  return fmt::format("{}_{}_{}{}", prefix_of(*this), grain, symmetric ? "sym" : "asym", ordered ? "_ordered" : "");
}

uint64_t EncodingPart::bytes() const {
  uint64_t n = 1;
  for (const auto d : shape) n *= uint64_t(d);
  const auto& t = traits(dtype);
  return n / uint64_t(t.block) * uint64_t(t.bytes);
}

std::vector<EncodingPart> encoding_parts(const EncodingSpec& spec, int64_t N, int64_t K, std::string_view subject) {
  require(N > 0 && K > 0, subject, fmt::format("shape ({}, {}) is empty", N, K));
  switch (spec.kind) {
    case EncodingKind::Plain: return {{"weight", spec.dtype, {N, K}}};
    case EncodingKind::Ggml:
      if (K % traits(spec.dtype).block != 0)
        throw input_error("plan", subject, "K={} is not a multiple of {}'s block of {}; choose another --type", K, name_of(spec.dtype),
                          traits(spec.dtype).block);
      return {{"weight", spec.dtype, {N, K}}};
    case EncodingKind::Gptq: return gptq_parts(spec, N, K, subject);
    case EncodingKind::Awq: return awq_parts(spec, N, K, subject);
    case EncodingKind::BnbInt8: return {{"weight", DType::I8, {N, K}}, {"SCB", DType::F32, {N}}, {"weight_format", DType::U8, {}}};
    case EncodingKind::BnbNf4:
    case EncodingKind::BnbFp4: return bnb_4bit_parts(spec, N, K, subject);
    case EncodingKind::CtPacked: return ct_packed_parts(spec, N, K, subject);
    case EncodingKind::CtInt: return ct_int_parts(spec, N, K, subject);
  }
  throw Error(ErrorKind::Bug, "plan", subject, "unknown encoding kind");
}

double bits_per_weight(const EncodingSpec& spec, int64_t N, int64_t K) {
  uint64_t bytes = 0;
  for (const auto& part : encoding_parts(spec, N, K, "weight")) bytes += part.bytes();
  return 8.0 * double(bytes) / (double(N) * double(K));
}

}  // namespace teeny
