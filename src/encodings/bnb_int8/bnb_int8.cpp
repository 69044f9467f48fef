// bitsandbytes LLM.int8: rows of int8 = rint(fp16(w) * 127 / absmax), SCB = absmax of the row in f32.
#include "encodings/registry.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

constexpr float kInverse127 = 7.874015718698502e-3f;  // the constant that bitsandbytes multiplies by

class BnbInt8Encoding : public Encoding {
 public:
  using Encoding::Encoding;

  int64_t block_cols(int64_t K) const override { return K; }

  Grid fit(const Tensor& w, const FitOptions&) const override {
    const Tensor half = w.to(at::kHalf).to(at::kFloat);
    Tensor absmax = half.abs().amax(1);
    if (!absmax.isfinite().all().item<bool>())
      throw input_error("encoding", spec().name(), "a weight is beyond fp16's 65504, which LLM.int8 cannot hold; choose another format");
    if (spec().tensor_scale) absmax = absmax.amax().expand_as(absmax).contiguous();
    return grid_of(absmax, w.size(1));
  }

  Quantized quantize(const Tensor& w, const FitOptions& options) const override {
    Grid grid = fit(w, options);
    const Tensor absmax = grid.parts[0].second.unsqueeze(1);
    Tensor q = w.to(at::kHalf).to(at::kFloat) * (absmax.reciprocal() * 127.0);  // in bitsandbytes' order: ties fall as there
    q.masked_fill_(absmax == 0, 0);
    return {{q.round_().add_(128).clamp_(1, 255).to(at::kByte)}, std::move(grid)};
  }

  QuantTensor pack(const Levels& levels, const Grid& grid) const override {
    return {spec(), levels.q.size(0), levels.q.size(1),
            {{"weight", (levels.q.to(at::kShort) - 128).to(at::kChar)}, {"SCB", grid.parts[0].second}, {"weight_format", at::zeros({}, at::kByte)}}};
  }

  Quantized unpack(const QuantTensor& packed) const override {
    return {{(packed.part("weight").to(at::kShort) + 128).to(at::kByte)}, grid_of(packed.part("SCB").to(at::kFloat), packed.K)};
  }

  // As bitsandbytes computes it: (q * SCB) * (1/127), in this order.
  Tensor decode(const QuantTensor& packed) const override {
    return packed.part("weight").to(at::kFloat).mul_(packed.part("SCB").to(at::kFloat).unsqueeze(1)).mul_(kInverse127);
  }

 private:
  static Grid grid_of(const Tensor& absmax, int64_t K) {
    Grid grid;
    grid.scale = (absmax * kInverse127).unsqueeze(1);
    grid.zero = at::full_like(grid.scale, 128);
    grid.group = K;
    grid.hi = 255;
    grid.parts = {{"SCB", absmax}};
    return grid;
  }
};

}  // namespace

std::shared_ptr<const Encoding> make_bnb_int8(const EncodingSpec& spec) { return std::make_shared<BnbInt8Encoding>(spec); }

std::vector<EncodingSpec> bnb_int8_examples() {
  return {{EncodingKind::BnbInt8, DType::I8, 8, -1, true, 0, false}, {EncodingKind::BnbInt8, DType::I8, 8, -1, true, 0, true}};
}

}  // namespace teeny
