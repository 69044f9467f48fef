// Size arithmetic on numbers that come from files: every overflow is an error, never a wrap.
#pragma once
#include <cstdint>
#include <optional>

namespace teeny {

inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t r;
  return __builtin_add_overflow(a, b, &r) ? std::nullopt : std::optional<uint64_t>(r);
}
inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t r;
  return __builtin_mul_overflow(a, b, &r) ? std::nullopt : std::optional<uint64_t>(r);
}
// Smallest multiple of `to` (> 0) that is >= a.
inline std::optional<uint64_t> checked_round_up(uint64_t a, uint64_t to) {
  auto s = checked_add(a, to - 1);
  return s ? std::optional<uint64_t>(*s / to * to) : std::nullopt;
}

}  // namespace teeny
