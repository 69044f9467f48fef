// The weights of one layer after another decoded to f16, for products of many tokens, ahead of those products and beside them.
// The products run on a stream of high priority, the decoding on one of low priority: it takes the multiprocessors that
// the last tiles of a product leave free. Each of a layer's four projections has its own buffer, free again as soon as its product
// has ended, so that decoding can be almost a layer ahead.
#pragma once
#include <array>

#include <c10/core/Event.h>

#include "runtime/cuda/model.h"

namespace teeny {

enum class Place : size_t { Qkv, O, GateUp, Down };

class AheadDecoder {
 public:
  explicit AheadDecoder(const GpuModel& model);
  ~AheadDecoder();  // waits for what is being decoded
  AheadDecoder(const AheadDecoder&) = delete;
  AheadDecoder& operator=(const AheadDecoder&) = delete;

  static const Projection& projection(const GpuLayer& layer, Place place);
  static bool takes(const Projection& p);       // one f16 product serves it: no input is rounded to int8, no kernel decodes it by the way
  const c10::Stream& products() const { return products_; }
  cudaStream_t raw_products() const;            // for kernels
  void start();                                 // a pass over all layers; products() is current
  // (N, K) f16: the rows of the projection's weights, one after another, each in the order of its parts. The current stream
  // waits for them.
  Tensor weight(const Projection& p, Place place) const;
  void done(size_t layer, Place place);         // the product was launched: the buffer takes the next layer's weight after it

 private:
  void decode(size_t layer, Place place);
  struct Buffer {
    Tensor values;
    c10::Event ready{at::kCUDA}, free{at::kCUDA};
  };
  const GpuModel& model_;
  c10::Stream products_, decoding_;
  std::array<Buffer, 4> buffers_;
};

}  // namespace teeny
