// Rows one by one give the bytes that the tensor path gives, for every type that streams.
#include "teeny/encodings/row_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "teeny/core/half.h"
#include "teeny/encodings/encoding.h"

namespace teeny {
namespace {

constexpr int64_t kN = 5, kK = 512;

Tensor weights() {
  at::manual_seed(7);
  Tensor w = at::randn({kN, kK}) * 0.3;
  w[1].zero_();
  w[2].slice(0, 0, 100).mul_(1e-6);
  w[3][17] = 60;
  return w.contiguous();
}

TEST(RowCodec, BlockTypesGiveTheBytesOfTheTensorPath) {
  const Tensor w = weights(), importance = at::rand({kK}).add_(0.01);
  int checked = 0;
  for (const auto& spec : conformance_specs()) {
    const auto rows = make_row_codec(spec);
    if (spec.kind != EncodingKind::Ggml) {
      EXPECT_EQ(rows, nullptr) << spec.name();
      continue;
    }
    for (const bool weighted : {false, true}) {
      FitOptions fit;
      if (weighted) fit.importance = importance;
      const auto encoding = make_encoding(spec);
      const auto [levels, grid] = encoding->quantize(w, fit);
      const Tensor expected = encoding->pack(levels, grid).part("weight");
      ASSERT_EQ(rows->row_bytes(kK) * uint64_t(kN), uint64_t(expected.nbytes())) << spec.name();
      std::vector<std::byte> stored(expected.nbytes());
      rows->encode(w.const_data_ptr<float>(), weighted ? importance.const_data_ptr<float>() : nullptr, kN, kK, stored.data());
      EXPECT_EQ(std::memcmp(stored.data(), expected.const_data_ptr(), stored.size()), 0) << spec.name() << weighted;
      std::vector<float> decoded(size_t(kN * kK));
      rows->decode(stored.data(), kN, kK, decoded.data());
      const Tensor reference = encoding->decode({spec, kN, kK, {{"weight", expected}}});
      EXPECT_EQ(std::memcmp(decoded.data(), reference.const_data_ptr(), decoded.size() * 4), 0) << spec.name();
      ++checked;
    }
  }
  EXPECT_GE(checked, 24);
}

TEST(RowCodec, EveryHalfAndEveryKindOfFloat) {
  for (const DType dtype : {DType::F16, DType::BF16}) {
    EncodingSpec spec;
    spec.dtype = dtype;
    const auto rows = make_row_codec(spec);
    std::vector<uint16_t> all(65536), back(65536);
    for (size_t i = 0; i < all.size(); ++i) all[i] = uint16_t(i);
    std::vector<float> wide(all.size());
    rows->decode(reinterpret_cast<const std::byte*>(all.data()), 1, 65536, wide.data());
    rows->encode(wide.data(), nullptr, 1, 65536, reinterpret_cast<std::byte*>(back.data()));
    for (size_t i = 0; i < all.size(); ++i) {
      const float plain = dtype == DType::F16 ? half_to_float(all[i]) : bf16_to_float(all[i]);
      if (std::isnan(plain)) {
        EXPECT_TRUE(std::isnan(wide[i])) << i;
        continue;
      }
      ASSERT_EQ(std::bit_cast<uint32_t>(plain), std::bit_cast<uint32_t>(wide[i])) << i;
      ASSERT_EQ(all[i], back[i]) << name_of(dtype);
    }
    // Odd length: vectors and the rest; halfway cases, overflow, subnormals.
    std::vector<float> w{1.0f, 65519.9f, 65520.0f, 1e-8f, 6e-8f, -0.0f, 3.0078125f, 3.01171875f, 1e38f, 0.1f, std::numeric_limits<float>::infinity()};
    std::vector<uint16_t> stored(w.size());
    rows->encode(w.data(), nullptr, 1, int64_t(w.size()), reinterpret_cast<std::byte*>(stored.data()));
    for (size_t i = 0; i < w.size(); ++i) EXPECT_EQ(stored[i], dtype == DType::F16 ? float_to_half(w[i]) : float_to_bf16(w[i])) << w[i];
  }
}

TEST(RowCodec, SumsAndTheFirstBadValue) {
  std::vector<float> w(1003, 1.5f), q(1003, 1.0f);
  w[1002] = 3;
  const auto sums = square_sums(w.data(), q.data(), int64_t(w.size()));
  EXPECT_DOUBLE_EQ(sums.difference, 1002 * 0.25 + 4);
  EXPECT_DOUBLE_EQ(sums.original, 1002 * 2.25 + 9);
  EXPECT_EQ(first_nonfinite(w.data(), int64_t(w.size())), -1);
  w[1001] = std::nanf(""), w[700] = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(first_nonfinite(w.data(), int64_t(w.size())), 700);
}

}  // namespace
}  // namespace teeny
