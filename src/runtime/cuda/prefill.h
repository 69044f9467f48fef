// Many tokens at once: weights decoded to f16 one matrix at a time, libtorch's products and attention between our kernels.
#pragma once
#include <span>

#include "runtime/cuda/model.h"

namespace teeny {

// Tokens of one sequence: they become positions start .. of a slot.
struct PrefillPiece {
  std::span<const int32_t> tokens;
  int64_t slot = 0, start = 0;
};

class Prefill {
 public:
  explicit Prefill(const GpuModel& model) : model_(model) {}
  // Appends the pieces to the cache; (pieces, V) f32: logits of the last token of each.
  Tensor last_logits(const std::vector<PrefillPiece>& pieces, const GpuCache& cache, const Rope& rope);
  // One window from position 0, no cache: (T, V) f32.
  Tensor all_logits(std::span<const int32_t> tokens, const Rope& rope);

 private:
  Tensor hidden(const std::vector<PrefillPiece>& pieces, const GpuCache* cache, const Rope& rope);  // (T, H) f32 before the last norm
  Tensor multiply(const Projection& p, const Tensor& x, at::ScalarType out);                        // (T, K) f16 -> (T, N)
  // W8A8 through the int8 matrix units; false: this product has no such form, and nothing was done.
  bool multiply_int8(const PackedWeight& w, const Tensor& x, const Tensor& out, bool add);
  void add_product(const Projection& p, const Tensor& x, Tensor& h);                                // (T, K) f16; h (T, N) f32 grows by the product
  Tensor decoded(const PackedWeight& w, int64_t K);
  Tensor logits(const Tensor& h);
  Tensor scratch(int64_t rows, int64_t K);                                                          // (rows, K) f16

  const GpuModel& model_;
  Tensor scratch_;
};

}  // namespace teeny
