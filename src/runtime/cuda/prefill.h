// Many tokens at once. Products decode weights in registers where there is such a kernel (cuda::multiplies_large); else weights
// are decoded to f16 beside libtorch's products (ahead.h). Attention is libtorch's.
#pragma once
#include <span>

#include "runtime/cuda/ahead.h"

namespace teeny {

// Tokens of one sequence: they become positions start .. of a slot.
struct PrefillPiece {
  std::span<const int32_t> tokens;
  int64_t slot = 0, start = 0;
};

// f16 inputs of a product: rows (T, K), or panels (cuda::Activations).
struct ProductInput {
  Tensor data;
  cuda::Activations view;
};

class Prefill {
 public:
  explicit Prefill(const GpuModel& model) : model_(model), ahead_(model) {}
  // Appends the pieces to the cache; (pieces, V) f32: logits of the last token of each.
  Tensor last_logits(const std::vector<PrefillPiece>& pieces, const GpuCache& cache, const Rope& rope);
  // One window from position 0, no cache: (T, V) f32.
  Tensor all_logits(std::span<const int32_t> tokens, const Rope& rope);

 private:
  Tensor hidden(const std::vector<PrefillPiece>& pieces, const GpuCache* cache, const Rope& rope);  // (T, H) f32 before the last norm
  ProductInput input(const Projection& p, int64_t T) const;        // not filled
  ProductInput norm_input(const Projection& p, const Tensor& h, const Tensor& weight) const;
  ProductInput attention_input(const Projection& p, const Tensor& attended) const;
  std::pair<Tensor, Tensor> qkv(size_t layer, const ProductInput& x, int64_t T);   // (T, N) f16, and the bias that is not yet in it: (N) f32 or undefined
  ProductInput activated(size_t layer, const ProductInput& x, int64_t T);        // silu(gate) * up
  Tensor gate_up(size_t layer, const Tensor& x);                  // (T, 2 I) f16
  void add_product(size_t layer, Place place, const ProductInput& x, Tensor& h);  // h (T, N) f32 grows by the product
  Tensor large_product(const Projection& p, const ProductInput& x, int64_t T) const;
  Tensor multiply(size_t layer, Place place, const Tensor& x);
  Tensor multiply_rounded(const Projection& p, const Tensor& x, at::ScalarType out);
  // W8A8 through the int8 matrix units; false: this product has no such form, and nothing was done.
  bool multiply_int8(const PackedWeight& w, const Tensor& x, const Tensor& out, bool add);
  Tensor logits(const Tensor& h);
  Tensor scratch(int64_t rows, int64_t K);                                                          // (rows, K) f16

  const GpuModel& model_;
  AheadDecoder ahead_;
  Tensor scratch_;
};

}  // namespace teeny
