// Rows that stand alone in their stored form (plain floats, GGML's blocks), encoded and decoded on the calling thread
// without tensors: what streams a weight of any size through a few megabytes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "teeny/core/encoding_spec.h"

namespace teeny {

class RowCodec {
 public:
  virtual ~RowCodec() = default;
  virtual uint64_t row_bytes(int64_t K) const = 0;  // K is a multiple of the block
  virtual void decode(const std::byte* stored, int64_t rows, int64_t K, float* w) const = 0;
  // The same bytes as Encoding::quantize and pack of the same spec. importance: (K) f32 >= 0, or null.
  virtual void encode(const float* w, const float* importance, int64_t rows, int64_t K, std::byte* stored) const = 0;
};

// nullptr: rows of this spec share words or scales with others, or it is no weight's spec.
std::unique_ptr<RowCodec> make_row_codec(const EncodingSpec& spec);

// Sums of squares over n elements, in an order of its own that does not depend on the machine.
struct SquareSums {
  double difference = 0, original = 0;  // sum (w - q)^2, sum w^2
};
SquareSums square_sums(const float* w, const float* q, int64_t n);
// Index of the first NaN or infinity, -1 when there is none.
int64_t first_nonfinite(const float* w, int64_t n);

}  // namespace teeny
