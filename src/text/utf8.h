// UTF-8 as Rust's from_utf8_lossy reads it: each maximal ill-formed part becomes one U+FFFD.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace teeny {

// The bytes of the well-formed text at the start of `text`.
size_t valid_utf8_prefix(std::string_view text);
// `text` itself when it is valid, else a repaired copy in `storage`.
std::string_view valid_utf8(std::string_view text, std::string& storage);

// The bytes at the end of `text` that begin a character and may be completed by what follows.
size_t unfinished_utf8(std::string_view text);

// The code point at `p` of text known to be valid; `length` gets its bytes.
inline uint32_t decode_utf8(const char* p, int& length) {
  const auto* u = reinterpret_cast<const unsigned char*>(p);
  if (u[0] < 0x80) return length = 1, u[0];
  if (u[0] < 0xE0) return length = 2, (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu);
  if (u[0] < 0xF0) return length = 3, (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
  return length = 4, (u[0] & 0x07u) << 18 | (u[1] & 0x3Fu) << 12 | (u[2] & 0x3Fu) << 6 | (u[3] & 0x3Fu);
}
void append_utf8(std::string& out, uint32_t code_point);

}  // namespace teeny
