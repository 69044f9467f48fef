#include "teeny/encodings/encoding.h"

#include "encodings/common/affine.h"

namespace teeny {

Quantized Encoding::quantize(const Tensor& w, const FitOptions& options) const {
  Grid grid = fit(w, options);
  Levels levels = nearest(w, grid);
  return {std::move(levels), std::move(grid)};
}

Tensor Encoding::storable_scale(const Tensor& scale) const { return scale.to(scale_type(spec_)).to(at::kFloat); }

Tensor Encoding::decode(const QuantTensor& packed) const {
  const auto [levels, grid] = unpack(packed);
  return teeny::decode(levels, grid);
}

Tensor decode(const Weight& weight) {
  if (const auto* tensor = std::get_if<Tensor>(&weight)) return tensor->to(at::kFloat);
  const auto& packed = std::get<QuantTensor>(weight);
  return make_encoding(packed.spec)->decode(packed);
}

}  // namespace teeny
