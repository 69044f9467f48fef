#include "teeny/core/half.h"

#include <gtest/gtest.h>

#include <cmath>

namespace teeny {
namespace {

// The reference: brute force over all halves, nearest with ties to even mantissa.
TEST(Half, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float f = half_to_float(uint16_t(h));
    if (std::isnan(f)) {
      EXPECT_TRUE(std::isnan(half_to_float(float_to_half(f))));
      continue;
    }
    EXPECT_EQ(float_to_half(f), h);
  }
}

TEST(Half, MidpointsGoToTheEvenNeighbour) {
  for (uint32_t h = 0; h < 0x7bff; ++h) {
    const double a = half_to_float(uint16_t(h)), b = half_to_float(uint16_t(h + 1));
    const float middle = float((a + b) / 2);
    EXPECT_EQ(float_to_half(middle), h % 2 == 0 ? h : h + 1);
    EXPECT_EQ(float_to_half(std::nextafter(middle, 0.0f)), h);
    EXPECT_EQ(float_to_half(std::nextafter(middle, 1e9f)), h + 1);
  }
}

TEST(Half, LargeValuesBecomeInfinity) {
  EXPECT_EQ(float_to_half(65504.0f), 0x7bff);
  EXPECT_EQ(float_to_half(65519.99f), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_half(-1e38f), 0xfc00);
}

TEST(Bfloat16, RoundsToNearestEven) {
  EXPECT_EQ(float_to_bf16(1.0f), 0x3f80);
  EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(NAN))));
}

}  // namespace
}  // namespace teeny
