#include "text/added_tokens.h"

#include <cstring>

#include "text/char_class.h"
#include "text/utf8.h"

namespace teeny {
namespace {

// The code point that ends right before `at`; `start` gets its place. Needs at > 0.
uint32_t code_point_before(std::string_view text, size_t at, size_t& start) {
  start = at - 1;
  while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
  int length = 0;
  return decode_utf8(text.data() + start, length);
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<Pattern> patterns) : patterns_(std::move(patterns)), pattern_at_{-1} {
  int starts = 0;
  for (size_t i = 0; i < patterns_.size(); ++i) {
    uint64_t node = 0;
    for (const char c : patterns_[i].text) {
      int32_t& child = children_[node << 8 | static_cast<unsigned char>(c)];
      if (child == 0) {
        child = static_cast<int32_t>(pattern_at_.size());
        pattern_at_.push_back(-1);
      }
      node = static_cast<uint64_t>(child);
    }
    pattern_at_[node] = static_cast<int32_t>(i);
    const auto first = static_cast<unsigned char>(patterns_[i].text[0]);
    if (!starts_[first]) ++starts;
    starts_[first] = true;
    only_start_ = first;
  }
  if (starts != 1) only_start_ = -1;
}

bool AddedTokenMatcher::find(std::string_view text, size_t from, Match& match) const {
  for (size_t at = from; at < text.size(); ++at) {
    if (only_start_ >= 0) {
      const void* hit = std::memchr(text.data() + at, only_start_, text.size() - at);
      if (!hit) return false;
      at = static_cast<size_t>(static_cast<const char*>(hit) - text.data());
    } else if (!starts_[static_cast<unsigned char>(text[at])]) {
      continue;
    }
    uint64_t node = 0;
    int32_t longest = -1;
    for (size_t i = at; i < text.size(); ++i) {
      const int32_t* child = children_.find(node << 8 | static_cast<unsigned char>(text[i]));
      if (!child) break;
      node = static_cast<uint64_t>(*child);
      if (pattern_at_[node] >= 0) longest = pattern_at_[node];
    }
    if (longest < 0) continue;
    const Pattern& pattern = patterns_[static_cast<size_t>(longest)];
    match = {at, at + pattern.text.size(), pattern.token};
    return true;
  }
  return false;
}

bool AddedTokenMatcher::accept(std::string_view text, size_t done, Match& match) {
  size_t before = 0;
  int length = 0;
  const AddedToken& token = *match.token;
  if (token.single_word) {
    if (match.start > 0 && is_word_char(code_point_before(text, match.start, before))) return false;
    if (match.stop < text.size() && is_word_char(decode_utf8(text.data() + match.stop, length))) return false;
  }
  if (token.lstrip) {
    while (match.start > done && is_space_char(code_point_before(text, match.start, before))) match.start = before;
  }
  if (token.rstrip) {
    while (match.stop < text.size() && is_space_char(decode_utf8(text.data() + match.stop, length)))
      match.stop += static_cast<size_t>(length);
  }
  return true;
}

}  // namespace teeny
