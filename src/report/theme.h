// The colours of pages and pictures by role, for light and dark. Pictures name roles, never colours.
#pragma once
#include <array>
#include <cstdint>

namespace teeny::report {

enum class Role : uint8_t {
  None, Text, Muted, Grid, Axis, Surface, Accent, Good, Bad,
  Series0, Series1, Series2, Series3, Series4, Series5, Series6, Series7,
  Heat0, Heat1, Heat2, Heat3, Heat4, Heat5, Heat6, Heat7, Heat8, HeatInkLow, HeatInkHigh,
};
inline constexpr int kSeriesColours = 8;
inline constexpr int kHeatSteps = 9;
constexpr Role operator+(Role role, int n) { return Role(int(role) + n); }

struct Colour {
  const char* name;  // CSS variable
  uint32_t light, dark;
};

// Series: hues that stay apart for the common forms of colour blindness, each at least 3:1 against its surface; shapes and
// direct labels repeat what they say. Heat: one hue, lightness rising evenly; dark pages turn it round.
inline constexpr std::array<Colour, 28> kColours{{
    {"none", 0, 0},
    {"text", 0x1a2230, 0xe8ecf2},
    {"muted", 0x5b6675, 0x9aa6b5},
    {"grid", 0xe6eaef, 0x2a323d},
    {"axis", 0xa9b3bf, 0x556170},
    {"surface", 0xffffff, 0x171c23},
    {"accent", 0x0b62b0, 0x6cb2f5},
    {"good", 0x0a7a55, 0x45c99a},
    {"bad", 0xb3261e, 0xff8a80},
    {"s0", 0x5f6b7a, 0x9fb0c3},
    {"s1", 0x0f6fc0, 0x5aa9f0},
    {"s2", 0xd1560a, 0xf58a4a},
    {"s3", 0x0b8f6a, 0x35c79a},
    {"s4", 0x9a4ab0, 0xd394e6},
    {"s5", 0x9a7b00, 0xdcbf45},
    {"s6", 0xb5305f, 0xf27ea4},
    {"s7", 0x1d8a9e, 0x55cbe0},
    {"h0", 0xeef4fb, 0x1d2733},
    {"h1", 0xdbe8f6, 0x1f3247},
    {"h2", 0xc2d9f0, 0x213f5d},
    {"h3", 0xa3c6e8, 0x254f77},
    {"h4", 0x7fb0de, 0x2c6294},
    {"h5", 0x5896d0, 0x3b7cb6},
    {"h6", 0x377bbd, 0x5a9ad4},
    {"h7", 0x1f61a1, 0x86b9e8},
    {"h8", 0x124a80, 0xb9d8f6},
    {"hi0", 0x1a2230, 0xe8ecf2},
    {"hi1", 0xffffff, 0x0e1319},
}};
static_assert(kColours.size() == size_t(Role::HeatInkHigh) + 1);

}  // namespace teeny::report
