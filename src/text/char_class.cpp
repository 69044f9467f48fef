#include "text/char_class.h"

#include <algorithm>

#include "text/unicode_tables.h"

namespace teeny {
namespace {

bool contains(std::span<const CodePointRange> ranges, uint32_t c) {
  const auto it = std::upper_bound(ranges.begin(), ranges.end(), c,
                                   [](uint32_t value, const CodePointRange& range) { return value < range.first; });
  return it != ranges.begin() && c <= std::prev(it)->last;
}

struct ClassRanges {
  const std::span<const CodePointRange>& ranges;
  CharClass cls;
};
const ClassRanges kClasses[] = {{kLetterRanges, kLetter}, {kNumberRanges, kNumber}, {kSpaceRanges, kSpace},
                                {kMarkRanges, kMark},     {kUpperRanges, kUpper},   {kLowerRanges, kLower},
                                {kPunctuationRanges, kPunctuation}, {kSymbolRanges, kSymbol}};

}  // namespace

CharClasses::CharClasses() : basic_(new uint8_t[0x10000]()) {
  for (const auto& [ranges, cls] : kClasses)
    for (const auto& range : ranges)
      for (uint32_t c = range.first; c <= range.last && c < 0x10000; ++c) basic_[c] |= cls;
}

const CharClasses& CharClasses::instance() {
  static const CharClasses classes;
  return classes;
}

CharClass CharClasses::of_high(uint32_t c) {
  CharClass out = 0;
  for (const auto& [ranges, cls] : kClasses)
    if (contains(ranges, c)) out |= cls;
  return out;
}

bool is_word_char(uint32_t c) { return contains(kWordRanges, c); }
bool is_space_char(uint32_t c) { return contains(kSpaceRanges, c); }
bool is_digit_char(uint32_t c) { return c < 0x80 ? c >= '0' && c <= '9' : contains(kDigitRanges, c); }

}  // namespace teeny
