// One bit layout: how a grid is fitted to weights, how codes and grid are stored, and how the stored form decodes.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "teeny/tensor/quant_tensor.h"

namespace teeny {

struct Quantized {
  Levels levels;
  Grid grid;
};

struct FitOptions {
  Tensor importance;     // (cols) f32 >= 0, weight of a squared error in each column (E[x^2]); undefined: all equal
  bool exact_llama_cpp = false;  // GGML types: the search of llama.cpp, byte for byte
  bool mse = false;      // affine kinds: search the shrink factor that minimises the (weighted) squared error
};

class Encoding {
 public:
  explicit Encoding(EncodingSpec spec) : spec_(std::move(spec)) {}
  virtual ~Encoding() = default;
  const EncodingSpec& spec() const { return spec_; }

  // Columns of the smallest piece that has a grid of its own (256 for k-quants, the group for affine kinds, K for a row
  // scale): fit() accepts any multiple of it.
  virtual int64_t block_cols(int64_t K) const = 0;
  // The grid for w (N, cols) f32. What it returns is exactly representable: pack() loses nothing.
  virtual Grid fit(const Tensor& w, const FitOptions& options) const = 0;
  // The best codes and grid found for w on its own. Default: fit(), then nearest().
  virtual Quantized quantize(const Tensor& w, const FitOptions& options) const;
  virtual QuantTensor pack(const Levels& levels, const Grid& grid) const = 0;
  virtual Quantized unpack(const QuantTensor& packed) const = 0;
  // (N, K) f32 of the stored form; the reference for every faster path. Default: decode(unpack()).
  virtual Tensor decode(const QuantTensor& packed) const;

 private:
  EncodingSpec spec_;
};

// Throws Input for a spec that no encoding implements, naming the nearest that exist.
std::shared_ptr<const Encoding> make_encoding(const EncodingSpec& spec);
std::vector<EncodingSpec> conformance_specs();  // one representative of everything registered, for the conformance suite
Tensor decode(const Weight& weight);            // (N, K) f32
// compressed-tensors: zero points (N, G) uint8 as weight_zero_point stores them, int32 (ceil(N * bits / 32), G).
Tensor pack_zero_points(const Tensor& zero, int bits);

}  // namespace teeny
