#include "text/byte_level.h"

#include <array>

#include "text/utf8.h"

namespace teeny {
namespace {

constexpr uint32_t kAlphabetEnd = 0x100 + 68;  // 188 bytes stand for themselves, 68 from U+0100 on
struct Alphabet {
  std::array<uint32_t, 256> chars{};
  std::array<int16_t, kAlphabetEnd> bytes{};
  constexpr Alphabet() {
    bytes.fill(-1);
    uint32_t next = 0x100;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      chars[b] = printable ? b : next++;
      bytes[chars[b]] = static_cast<int16_t>(b);
    }
  }
};
constexpr Alphabet kAlphabet;

}  // namespace

uint32_t byte_level_char(uint8_t byte) { return kAlphabet.chars[byte]; }
int byte_level_byte(uint32_t c) { return c < kAlphabetEnd ? kAlphabet.bytes[c] : -1; }

bool byte_level_decode(std::string_view token, std::string& out) {
  out.clear();
  for (size_t i = 0; i < token.size();) {
    int length = 0;
    const int byte = byte_level_byte(decode_utf8(token.data() + i, length));
    if (byte < 0) return out = token, false;
    out.push_back(static_cast<char>(byte));
    i += static_cast<size_t>(length);
  }
  return true;
}

}  // namespace teeny
