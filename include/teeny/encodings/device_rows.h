// Rows of plain floats encoded on a GPU as RowCodec encodes them on the calling thread, to the same bytes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "teeny/encodings/row_codec.h"

namespace teeny {

// One lane: a stream of its own and buffers for one piece. Lanes work side by side; one lane belongs to one thread at a time.
class DeviceRows {
 public:
  // For pieces of at most `elements` weights, whatever their types. Device error when the GPU has no room.
  static std::unique_ptr<DeviceRows> make(int device, int64_t elements);
  // Whether the pair is encoded on a GPU at all: plain floats to a GGML type, in a build with kernels.
  static bool supports(const EncodingSpec& from, const EncodingSpec& to);

  virtual ~DeviceRows() = default;
  virtual std::byte* input() = 0;         // page-locked, for the stored rows
  virtual const std::byte* output() = 0;  // page-locked, the encoded rows

  struct Result {
    int64_t first_bad = -1;  // index of the first NaN or infinity of the piece, -1: none
    SquareSums sums;         // of what was encoded against the rows; in a fixed order of its own
  };
  // Encodes `rows` rows of K weights from input() to output(), and waits. Weights that are not finite count as 0.
  // importance: (K) f32 of the host, or null.
  virtual Result encode(DType from, DType to, const float* importance, int64_t rows, int64_t K) = 0;
  virtual uint64_t device_bytes() const = 0;
};

}  // namespace teeny
