// bitsandbytes 4 bits (nf4, fp4): value = quant_map[code] * absmax of its block. Blocks run along rows; the first of two
// codes is the high nibble. The table is the file's own; double quantization of absmax is resolved when a file is read.
#include "encodings/registry.h"

namespace teeny {
namespace {

// functional.py of bitsandbytes: quantiles of the normal distribution, and a 1-2-1 bit float (sign, exponent, mantissa).
constexpr float kNf4[16] = {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
                            -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
                            0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};
constexpr float kFp4[16] = {0.0f, 0.0052083333f, 0.66666667f, 1.0f, 0.33333333f, 0.5f, 0.16666667f, 0.25f,
                            -0.0f, -0.0052083333f, -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f};

class Bnb4Encoding : public Encoding {
 public:
  using Encoding::Encoding;

  int64_t block_cols(int64_t) const override { return spec().group; }

  Grid fit(const Tensor& w, const FitOptions&) const override {
    const Tensor absmax = w.view({w.size(0), w.size(1) / spec().group, spec().group}).abs().amax(2);
    return grid_of(absmax, at::tensor(at::ArrayRef<float>(spec().kind == EncodingKind::BnbNf4 ? kNf4 : kFp4), at::kFloat));
  }

  QuantTensor pack(const Levels& levels, const Grid& grid) const override {
    const Tensor& map = grid.parts[0].second;
    const Tensor codes = std::get<1>(map.sort(/*stable=*/true, 0, false)).to(at::kByte).index_select(0, levels.q.reshape({-1}).to(at::kInt));
    const Tensor pairs = codes.view({-1, 2});
    return {spec(), levels.q.size(0), levels.q.size(1),
            {{"weight", pairs.select(1, 0).mul(16).add(pairs.select(1, 1)).view({-1, 1})}, {"weight.absmax", grid.scale.reshape({-1}).contiguous()}, {"weight.quant_map", map}}};
  }

  Quantized unpack(const QuantTensor& packed) const override {
    const Tensor bytes = packed.part("weight").view({-1}), map = packed.part("weight.quant_map");
    const Tensor codes = at::stack({bytes.bitwise_right_shift(4), bytes.bitwise_and(15)}, 1).view({-1}).to(at::kInt);
    const Tensor rank = std::get<1>(std::get<1>(map.sort(true, 0, false)).sort(true, 0, false)).to(at::kByte);
    return {{rank.index_select(0, codes).view({packed.N, packed.K})}, grid_of(packed.part("weight.absmax").view({packed.N, -1}), map)};
  }

 private:
  Grid grid_of(const Tensor& absmax, const Tensor& map) const {
    Grid grid;
    grid.scale = absmax;
    grid.table = std::get<0>(map.sort(/*stable=*/true, 0, false)).contiguous();
    grid.group = spec().group;
    grid.hi = 15;
    grid.parts = {{"quant_map", map}};
    return grid;
  }
};

}  // namespace

std::shared_ptr<const Encoding> make_bnb_4bit(const EncodingSpec& spec) { return std::make_shared<Bnb4Encoding>(spec); }

std::vector<EncodingSpec> bnb_nf4_examples() { return {{EncodingKind::BnbNf4, DType::U8, 4, 64, true, 0}}; }
std::vector<EncodingSpec> bnb_fp4_examples() { return {{EncodingKind::BnbFp4, DType::U8, 4, 64, true, 0}, {EncodingKind::BnbFp4, DType::U8, 4, 128, true, 0}}; }

}  // namespace teeny
