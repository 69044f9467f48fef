// The classes of code points that the pre-tokenizers and added tokens ask for.
#pragma once
#include <array>
#include <cstdint>
#include <memory>

namespace teeny {

enum CharClass : uint8_t { kOther = 0, kLetter = 1, kNumber = 2, kSpace = 3 };

// One byte per code point of the basic plane, binary search above it (a scanner meets few of those).
class CharClasses {
 public:
  static const CharClasses& instance();
  CharClass of(uint32_t c) const { return c < 0x10000 ? static_cast<CharClass>(basic_[c]) : of_high(c); }

 private:
  CharClasses();
  static CharClass of_high(uint32_t c);
  std::unique_ptr<uint8_t[]> basic_;
};

bool is_word_char(uint32_t c);   // \w of the regex crate
bool is_space_char(uint32_t c);  // White_Space

}  // namespace teeny
