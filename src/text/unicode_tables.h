// Character classes as the `tokenizers` package has them, sorted ranges, both ends inclusive (generated).
#pragma once
#include <cstdint>
#include <span>

namespace teeny {

struct CodePointRange {
  uint32_t first, last;
};
extern const std::span<const CodePointRange> kLetterRanges, kNumberRanges, kSpaceRanges, kWordRanges;
extern const std::span<const CodePointRange> kUpperRanges, kLowerRanges, kMarkRanges, kPunctuationRanges, kSymbolRanges, kDigitRanges;
extern const char* const kTokenizersVersion;  // the package that was probed
extern const char* const kNfcAge;             // Unicode version of its NFC normalizer

}  // namespace teeny
