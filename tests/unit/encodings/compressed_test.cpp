// Bytes of compressed-tensors and of bitsandbytes' 4-bit layouts, worked out by hand.
#include <gtest/gtest.h>

#include "encodings/common/affine.h"
#include "teeny/core/error.h"
#include "teeny/encodings/encoding.h"

namespace teeny {
namespace {

EncodingSpec spec_of(EncodingKind kind, int bits, int64_t group, bool symmetric) { return {kind, DType::F32, bits, group, symmetric, 0}; }

Tensor bytes(std::initializer_list<int64_t> values, std::vector<int64_t> shape) { return at::tensor(std::vector<int64_t>(values), at::kLong).to(at::kByte).view(shape); }

Grid grid_of(Tensor scale, Tensor zero, int64_t group, int hi) {
  Grid grid;
  grid.scale = std::move(scale), grid.zero = std::move(zero), grid.group = group, grid.hi = hi;
  return grid;
}

TEST(CompressedTensors, PacksFourBitsAlongRowsWithZerosAtTheEnd) {
  const Tensor words = pack_rows(bytes({0, 1, 2, 3, 4, 5, 6, 7, 15, 14, 8, 8, 8, 8, 8, 8, 8, 8, 9, 9}, {2, 10}), 4);
  ASSERT_EQ(words.sizes(), (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(uint32_t(words[0][0].item<int32_t>()), 0x76543210u);
  EXPECT_EQ(uint32_t(words[0][1].item<int32_t>()), 0x000000efu);
  EXPECT_EQ(uint32_t(words[1][0].item<int32_t>()), 0x88888888u);
  EXPECT_EQ(uint32_t(words[1][1].item<int32_t>()), 0x00000099u);
}

TEST(CompressedTensors, ThreeBitsCrossWords) {
  Tensor codes = at::zeros({1, 32}, at::kByte);
  codes[0][10] = 5;   // bits 30 31 | 32: 101 -> word 0 bit 30, word 1 bit 0
  codes[0][21] = 6;   // bits 63 | 64 65: 110 -> word 1 bit 31 is 0, word 2 bits 0 1 are 1
  codes[0][31] = 7;   // bits 93 94 95
  const Tensor words = pack_rows(codes, 3);
  EXPECT_EQ(uint32_t(words[0][0].item<int32_t>()), 0x40000000u);
  EXPECT_EQ(uint32_t(words[0][1].item<int32_t>()), 0x00000001u);
  EXPECT_EQ(uint32_t(words[0][2].item<int32_t>()), 0xe0000003u);
  EXPECT_TRUE(unpack_rows(words, 3, 32).equal(codes));
}

TEST(CompressedTensors, ZeroPointsArePackedAlongRows) {
  // Zero points of 9 rows and 2 groups: column g of the words holds rows 0..7, then row 8.
  const Tensor zero = bytes({1, 15, 2, 14, 3, 13, 4, 12, 5, 11, 6, 10, 7, 9, 8, 8, 9, 7}, {9, 2});
  const Tensor words = pack_zero_points(zero, 4);
  ASSERT_EQ(words.sizes(), (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(uint32_t(words[0][0].item<int32_t>()), 0x87654321u);
  EXPECT_EQ(uint32_t(words[0][1].item<int32_t>()), 0x89abcdefu);
  EXPECT_EQ(words[1][0].item<int32_t>(), 9);
  EXPECT_EQ(words[1][1].item<int32_t>(), 7);
}

TEST(CompressedTensors, PartsOfAPackedWeight) {
  const auto encoding = make_encoding(spec_of(EncodingKind::CtPacked, 8, -1, false));
  const auto packed = encoding->pack({bytes({0, 128, 255, 1, 2, 3, 4, 5}, {2, 4})}, grid_of(at::tensor({0.5f, 2.0f}).view({2, 1}), at::tensor({128.0f, 0.0f}).view({2, 1}), 4, 255));
  EXPECT_EQ(uint32_t(packed.part("weight_packed")[0][0].item<int32_t>()), 0x01ff8000u);
  EXPECT_EQ(packed.part("weight_zero_point").item<int32_t>(), 128);
  EXPECT_TRUE(packed.part("weight_shape").equal(at::tensor({2, 4}, at::kLong)));
  EXPECT_EQ(packed.part("weight_scale").scalar_type(), at::kHalf);
  EXPECT_TRUE(encoding->decode(packed).equal(at::tensor({-64.0f, 0.0f, 63.5f, -63.5f, 4.0f, 6.0f, 8.0f, 10.0f}).view({2, 4})));
}

TEST(CompressedTensors, OrderedGroupsAreStored) {
  EncodingSpec spec = spec_of(EncodingKind::CtPacked, 4, 2, true);
  spec.ordered = true;
  const auto encoding = make_encoding(spec);
  Grid grid = grid_of(at::tensor({1.0f, 10.0f}).view({1, 2}), at::full({1, 2}, 8.0f), 2, 15);
  grid.g_idx = at::tensor({1, 0, 1, 0}, at::kLong);
  const auto packed = encoding->pack({bytes({9, 9, 7, 7}, {1, 4})}, grid);
  EXPECT_TRUE(packed.part("weight_g_idx").equal(at::tensor({1, 0, 1, 0}, at::kInt)));
  EXPECT_TRUE(encoding->decode(packed).equal(at::tensor({10.0f, 1.0f, -10.0f, -1.0f}).view({1, 4})));
  auto damaged = packed;
  damaged.parts.back().second = at::tensor({1, 0, 2, 0}, at::kInt);
  EXPECT_THROW(encoding->unpack(damaged), Error);
}

TEST(CompressedTensors, Int8WithStaticActivations) {
  EncodingSpec spec = spec_of(EncodingKind::CtInt, 8, -1, true);
  spec.act_bits = 8, spec.act_static = true, spec.act_symmetric = false;
  const auto encoding = make_encoding(spec);
  Grid grid = grid_of(at::full({1, 1}, 0.25f), at::full({1, 1}, 128.0f), 3, 255);
  EXPECT_THROW(encoding->pack({bytes({0, 128, 255}, {1, 3})}, grid), Error);  // nobody gave an input scale
  grid.parts = {{"input_scale", at::tensor({0.5f})}, {"input_zero_point", at::tensor({-3.0f})}};
  const auto packed = encoding->pack({bytes({0, 128, 255}, {1, 3})}, grid);
  EXPECT_TRUE(packed.part("weight").equal(at::tensor({-128, 0, 127}, at::kChar).view({1, 3})));
  EXPECT_EQ(packed.part("input_scale").item<float>(), 0.5f);
  EXPECT_EQ(packed.part("input_zero_point").item<int8_t>(), -3);
  EXPECT_TRUE(encoding->decode(packed).equal(at::tensor({-32.0f, 0.0f, 31.75f}).view({1, 3})));
}

TEST(Bitsandbytes, Nf4HighNibbleFirst) {
  const auto encoding = make_encoding(spec_of(EncodingKind::BnbNf4, 4, 2, true));
  const auto grid = encoding->fit(at::tensor({-2.0f, 0.0f, 4.0f, 0.0f}).view({2, 2}), {});
  const auto levels = nearest(at::tensor({-2.0f, 0.0f, 4.0f, 0.0f}).view({2, 2}), grid);
  const auto packed = encoding->pack(levels, grid);
  EXPECT_TRUE(packed.part("weight").equal(bytes({0x07, 0xf7}, {2, 1})));  // -1 is code 0, 0 is code 7, 1 is code 15
  EXPECT_TRUE(packed.part("weight.absmax").equal(at::tensor({2.0f, 4.0f})));
  EXPECT_TRUE(encoding->decode(packed).equal(at::tensor({-2.0f, 0.0f, 4.0f, 0.0f}).view({2, 2})));
}

TEST(Bitsandbytes, Fp4CodesAreNotInOrderOfTheirValues) {
  const auto encoding = make_encoding(spec_of(EncodingKind::BnbFp4, 4, 4, true));
  const Tensor w = at::tensor({3.0f, -3.0f, 1.5f, 0.75f}).view({1, 4});
  const auto grid = encoding->fit(w, {});
  const auto packed = encoding->pack(nearest(w, grid), grid);
  EXPECT_TRUE(packed.part("weight").equal(bytes({0x3b, 0x57}, {2, 1})));  // 1: code 3, -1: 11, 1/2: 5, 1/4: 7
  EXPECT_TRUE(encoding->decode(packed).equal(w));
}

}  // namespace
}  // namespace teeny
