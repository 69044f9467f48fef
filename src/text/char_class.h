// The classes of code points that the pre-tokenizers and added tokens ask for.
#pragma once
#include <array>
#include <cstdint>
#include <memory>

namespace teeny {

// Flags. A cased letter has kLetter and its case; letter, number, space, mark, punctuation and symbol exclude each other.
using CharClass = uint8_t;
constexpr CharClass kLetter = 1, kNumber = 2, kSpace = 4, kMark = 8, kUpper = 16, kLower = 32, kPunctuation = 64, kSymbol = 128;

// One byte per code point of the basic plane, binary search above it (a scanner meets few of those).
class CharClasses {
 public:
  static const CharClasses& instance();
  CharClass of(uint32_t c) const { return c < 0x10000 ? basic_[c] : of_high(c); }

 private:
  CharClasses();
  static CharClass of_high(uint32_t c);
  std::unique_ptr<uint8_t[]> basic_;
};

bool is_word_char(uint32_t c);   // \w of the regex crate
bool is_space_char(uint32_t c);  // White_Space
bool is_digit_char(uint32_t c);  // is_numeric of Rust

}  // namespace teeny
