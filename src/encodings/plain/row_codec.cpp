// Plain floats row by row: f32, f16 and bf16 to f32 and back, as fast as memory on a CPU with AVX2 and F16C, and the
// same bits without.
#include <algorithm>
#include <bit>
#include <cstring>

#include "encodings/registry.h"
#include "teeny/core/half.h"
#include "teeny/encodings/row_codec.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define TEENY_WIDE_TARGET __attribute__((target("avx2,f16c")))
#endif

namespace teeny {
namespace {

struct Casts {
  void (*widen)(DType from, const std::byte* stored, int64_t n, float* w);
  void (*narrow)(const float* w, int64_t n, DType to, std::byte* stored);
};

uint16_t load16(const std::byte* p, int64_t i) {
  uint16_t value;
  std::memcpy(&value, p + 2 * i, 2);
  return value;
}
void store16(std::byte* p, int64_t i, uint16_t value) { std::memcpy(p + 2 * i, &value, 2); }

void widen_base(DType from, const std::byte* stored, int64_t n, float* w) {
  if (from == DType::F32) std::memcpy(w, stored, size_t(n) * 4);
  else if (from == DType::F16) for (int64_t i = 0; i < n; ++i) w[i] = half_to_float(load16(stored, i));
  else for (int64_t i = 0; i < n; ++i) w[i] = bf16_to_float(load16(stored, i));
}

void narrow_base(const float* w, int64_t n, DType to, std::byte* stored) {
  if (to == DType::F32) std::memcpy(stored, w, size_t(n) * 4);
  else if (to == DType::F16) for (int64_t i = 0; i < n; ++i) store16(stored, i, float_to_half(w[i]));
  else for (int64_t i = 0; i < n; ++i) store16(stored, i, float_to_bf16(w[i]));
}

#ifdef TEENY_WIDE_TARGET
TEENY_WIDE_TARGET void widen_wide(DType from, const std::byte* stored, int64_t n, float* w) {
  int64_t i = 0;
  if (from == DType::F16)
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(w + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(stored + 2 * i))));
  if (from == DType::BF16)
    for (; i + 8 <= n; i += 8) {
      const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(stored + 2 * i)));
      _mm256_storeu_ps(w + i, _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)));
    }
  widen_base(from, stored + i * (from == DType::F32 ? 4 : 2), n - i, w + i);
}

TEENY_WIDE_TARGET void narrow_wide(const float* w, int64_t n, DType to, std::byte* stored) {
  int64_t i = 0;
  if (to == DType::F16)
    for (; i + 8 <= n; i += 8) _mm_storeu_si128(reinterpret_cast<__m128i*>(stored + 2 * i), _mm256_cvtps_ph(_mm256_loadu_ps(w + i), _MM_FROUND_TO_NEAREST_INT));
  if (to == DType::BF16)
    for (; i + 8 <= n; i += 8) {
      const __m256i bits = _mm256_castps_si256(_mm256_loadu_ps(w + i));
      const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
      const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
      const __m256i is_nan = _mm256_cmpgt_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff)), _mm256_set1_epi32(0x7f800000));
      const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
      const __m256i words = _mm256_blendv_epi8(rounded, quiet, is_nan);
      const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(words, words), 0xd8);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(stored + 2 * i), _mm256_castsi256_si128(packed));
    }
  narrow_base(w + i, n - i, to, stored + i * (to == DType::F32 ? 4 : 2));
}

const Casts& casts() {
  static const Casts best = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c") ? Casts{widen_wide, narrow_wide} : Casts{widen_base, narrow_base};
  return best;
}
#else
const Casts& casts() {
  static const Casts base{widen_base, narrow_base};
  return base;
}
#endif

class PlainRows final : public RowCodec {
 public:
  explicit PlainRows(DType dtype) : dtype_(dtype) {}
  uint64_t row_bytes(int64_t K) const override { return uint64_t(K * traits(dtype_).bytes); }
  void decode(const std::byte* stored, int64_t rows, int64_t K, float* w) const override { casts().widen(dtype_, stored, rows * K, w); }
  void encode(const float* w, const float*, int64_t rows, int64_t K, std::byte* stored) const override { casts().narrow(w, rows * K, dtype_, stored); }

 private:
  DType dtype_;
};

constexpr int64_t kLanes = 8, kChunk = 4096;

}  // namespace

std::unique_ptr<RowCodec> make_plain_rows(const EncodingSpec& spec) {
  if (spec.dtype != DType::F32 && spec.dtype != DType::F16 && spec.dtype != DType::BF16) return nullptr;
  return std::make_unique<PlainRows>(spec.dtype);
}

// Lanes of doubles in a fixed order: a reduction that the compiler may make vectors of without choosing an order itself.
SquareSums square_sums(const float* w, const float* q, int64_t n) {
  double difference[kLanes] = {}, original[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const float d = w[i + lane] - q[i + lane];
      difference[lane] += double(d * d);
      original[lane] += double(w[i + lane] * w[i + lane]);
    }
  for (; i < n; ++i) {
    const float d = w[i] - q[i];
    difference[0] += double(d * d);
    original[0] += double(w[i] * w[i]);
  }
  SquareSums sums;
  for (int64_t lane = 0; lane < kLanes; ++lane) sums.difference += difference[lane], sums.original += original[lane];
  return sums;
}

int64_t first_nonfinite(const float* w, int64_t n) {
  const auto bits_of = [&](int64_t i) { return std::bit_cast<uint32_t>(w[i]) & 0x7fffffffu; };
  for (int64_t begin = 0; begin < n; begin += kChunk) {
    const int64_t end = std::min(n, begin + kChunk);
    uint32_t largest = 0;
    for (int64_t i = begin; i < end; ++i) largest = std::max(largest, bits_of(i));
    if (largest < 0x7f800000u) continue;
    for (int64_t i = begin; i < end; ++i)
      if (bits_of(i) >= 0x7f800000u) return i;
  }
  return -1;
}

}  // namespace teeny
