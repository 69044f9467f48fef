// Every line of the encoding table goes through the same promises, on several shapes.
#include <gtest/gtest.h>

#include "teeny/encodings/encoding.h"

namespace teeny {
namespace {

class EncodingConformance : public ::testing::TestWithParam<EncodingSpec> {
 protected:
  // Gaussian weights with an outlier, an all-zero row and a one-signed row.
  static Tensor weights(int64_t N, int64_t K) {
    at::manual_seed(7);
    Tensor w = at::randn({N, K}) * 0.02;
    w[0][3] = 1.5;
    w[1].zero_();
    w[2].abs_();
    return w;
  }
};

TEST_P(EncodingConformance, PartsAreAsPlanned) {
  const auto encoding = make_encoding(GetParam());
  for (const auto& [N, K] : {std::pair<int64_t, int64_t>{32, 256}, {96, 768}}) {
    const Tensor w = weights(N, K);
    const auto [levels, grid] = encoding->quantize(w, {});
    const auto packed = encoding->pack(levels, grid);
    const auto planned = encoding_parts(GetParam(), N, K, "w");
    ASSERT_EQ(packed.parts.size(), planned.size());
    for (size_t i = 0; i < planned.size(); ++i) {
      EXPECT_EQ(packed.parts[i].first, planned[i].suffix);
      EXPECT_EQ(uint64_t(packed.parts[i].second.nbytes()), planned[i].bytes()) << planned[i].suffix;
      EXPECT_TRUE(packed.parts[i].second.is_contiguous()) << planned[i].suffix;
    }
  }
}

TEST_P(EncodingConformance, UnpackUndoesPack) {
  const auto encoding = make_encoding(GetParam());
  const Tensor w = weights(64, 512);
  const auto [levels, grid] = encoding->quantize(w, {});
  const auto packed = encoding->pack(levels, grid);
  const auto again = encoding->unpack(packed);
  EXPECT_TRUE(again.levels.q.equal(levels.q));
  EXPECT_TRUE(encoding->decode(packed).equal(decode(again.levels, again.grid)) || GetParam().kind == EncodingKind::BnbInt8);
  EXPECT_TRUE(at::allclose(encoding->decode(packed), decode(levels, grid), 1e-6, 1e-9));
}

TEST_P(EncodingConformance, AnyCodesOnTheGridAreStored) {
  const auto encoding = make_encoding(GetParam());
  const Tensor w = weights(32, 512);
  const Grid grid = encoding->fit(w, {});
  const Levels levels{at::randint(GetParam().kind == EncodingKind::BnbInt8 ? 1 : 0, grid.hi + 1, {32, 512}).to(at::kByte)};
  EXPECT_TRUE(encoding->unpack(encoding->pack(levels, grid)).levels.q.equal(levels.q));
}

TEST_P(EncodingConformance, ErrorShrinksWithTheBits) {
  const auto encoding = make_encoding(GetParam());
  at::manual_seed(3);
  const Tensor w = at::randn({64, 512});
  const auto [levels, grid] = encoding->quantize(w, {});
  const double error = (decode(levels, grid) - w).pow(2).sum().item<double>() / w.pow(2).sum().item<double>();
  const double bits = GetParam().kind == EncodingKind::Ggml ? bits_per_weight(GetParam(), 64, 512) : GetParam().bits;
  // A uniform quantizer with 2^b levels over +-5 sigma has error (10/2^b)^2/12; legacy and channel grids get a factor 3.
  const double bound = GetParam().tensor_scale ? 8.0 : 3.0;
  EXPECT_LT(error, bound * 100.0 / std::pow(4.0, std::floor(bits)) / 12);
  EXPECT_GT(error, 0);
}

TEST_P(EncodingConformance, ZeroRowsStayZero) {
  const auto encoding = make_encoding(GetParam());
  const Tensor w = weights(32, 512);
  const auto [levels, grid] = encoding->quantize(w, {});
  const Tensor decoded = encoding->decode(encoding->pack(levels, grid));
  EXPECT_TRUE(decoded.isfinite().all().item<bool>());
  EXPECT_EQ(decoded[1].abs().max().item<float>(), 0);
}

INSTANTIATE_TEST_SUITE_P(All, EncodingConformance, ::testing::ValuesIn(conformance_specs()),
                         [](const auto& info) { return info.param.name() + "_" + std::to_string(info.index); });

}  // namespace
}  // namespace teeny
