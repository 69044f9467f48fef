#include "text/utf8.h"

#include <cstring>

namespace teeny {
namespace {

// Looks at the sequence at `p`: its length when well-formed, else 0 and in `bad` the length of the maximal ill-formed
// part (Unicode 3.9, table 3-7: the second byte's range depends on the first).
int sequence_length(const unsigned char* p, const unsigned char* end, int& bad) {
  const unsigned char lead = p[0];
  bad = 1;
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const int length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  unsigned char low = 0x80, high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (int i = 1; i < length; ++i) {
    if (p + i >= end || p[i] < low || p[i] > high) return bad = i, 0;
    low = 0x80, high = 0xBF;
  }
  return length;
}

}  // namespace

size_t valid_utf8_prefix(std::string_view text) {
  const auto* begin = reinterpret_cast<const unsigned char*>(text.data());
  const auto* end = begin + text.size();
  const auto* p = begin;
  while (p < end) {
    uint64_t word;
    while (end - p >= 8 && (std::memcpy(&word, p, 8), (word & 0x8080808080808080ull) == 0)) p += 8;
    if (p >= end) break;
    int bad = 0;
    const int length = sequence_length(p, end, bad);
    if (length == 0) break;
    p += length;
  }
  return static_cast<size_t>(p - begin);
}

std::string_view valid_utf8(std::string_view text, std::string& storage) {
  size_t good = valid_utf8_prefix(text);
  if (good == text.size()) return text;
  storage.clear();
  storage.reserve(text.size() + 16);
  while (true) {
    storage.append(text.substr(0, good));
    text.remove_prefix(good);
    if (text.empty()) return storage;
    const auto* p = reinterpret_cast<const unsigned char*>(text.data());
    int bad = 0;
    sequence_length(p, p + text.size(), bad);
    storage += "\xEF\xBF\xBD";
    text.remove_prefix(static_cast<size_t>(bad));
    good = valid_utf8_prefix(text);
  }
}

size_t unfinished_utf8(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto* p = reinterpret_cast<const unsigned char*>(text.data() + text.size() - back);
    if ((*p & 0xC0) == 0x80) continue;  // look for the lead byte
    int bad = 0;
    if (*p < 0xC2 || sequence_length(p, p + back, bad) > 0) return 0;
    return static_cast<size_t>(bad) == back ? back : 0;  // well-formed as far as it goes
  }
  return 0;
}

void append_utf8(std::string& out, uint32_t c) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  }
}

}  // namespace teeny
