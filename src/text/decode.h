// Ids back to text: what each token stands for, and how the tokens of a text join.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/text/tokenizer.h"

namespace teeny {

class TokenTexts {
 public:
  explicit TokenTexts(const BpeData& data);
  // Bytes of one token: for a text in the middle, with spaces for U+2581, and the byte that <0xHH> stands for.
  std::string_view bytes_of(int32_t id) const {
    const auto i = static_cast<size_t>(id);
    return std::string_view(bytes_).substr(starts_[i], starts_[i + 1] - starts_[i]);
  }
  bool in_range(int32_t id) const { return id >= 0 && id < static_cast<int32_t>(special_.size()); }
  bool is_special(int32_t id) const { return special_[static_cast<size_t>(id)]; }
  std::unique_ptr<DecodeStream> stream(bool skip_special, bool at_start = true) const;

 private:
  friend class ByteLevelStream;
  friend class PieceStream;
  TokenDecoder kind_;
  bool strip_space_;
  std::string bytes_;           // what every token stands for, one after the other
  std::vector<size_t> starts_;  // one more than tokens
  std::vector<bool> special_;
  std::vector<bool> is_byte_;    // ByteFallback: the text is <0xHH>
  std::vector<std::string> first_;  // Metaspace with strip_space: what the token gives as the first one, where that differs...
  std::vector<int32_t> first_at_;   // ...and its place there by id, or -1
};

}  // namespace teeny
