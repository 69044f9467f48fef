#include "text/char_class.h"

#include <algorithm>
#include <cstring>

#include "text/unicode_tables.h"

namespace teeny {
namespace {

bool contains(std::span<const CodePointRange> ranges, uint32_t c) {
  const auto it = std::upper_bound(ranges.begin(), ranges.end(), c,
                                   [](uint32_t value, const CodePointRange& range) { return value < range.first; });
  return it != ranges.begin() && c <= std::prev(it)->last;
}

}  // namespace

CharClasses::CharClasses() : basic_(new uint8_t[0x10000]()) {
  const auto paint = [&](std::span<const CodePointRange> ranges, CharClass value) {
    for (const auto& range : ranges) {
      if (range.first >= 0x10000) break;
      std::memset(basic_.get() + range.first, value, std::min(range.last, 0xFFFFu) - range.first + 1);
    }
  };
  paint(kLetterRanges, kLetter);
  paint(kNumberRanges, kNumber);
  paint(kSpaceRanges, kSpace);
}

const CharClasses& CharClasses::instance() {
  static const CharClasses classes;
  return classes;
}

CharClass CharClasses::of_high(uint32_t c) {
  if (contains(kLetterRanges, c)) return kLetter;
  if (contains(kNumberRanges, c)) return kNumber;
  return contains(kSpaceRanges, c) ? kSpace : kOther;
}

bool is_word_char(uint32_t c) { return contains(kWordRanges, c); }
bool is_space_char(uint32_t c) { return contains(kSpaceRanges, c); }

}  // namespace teeny
