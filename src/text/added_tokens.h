// Finds added tokens in text: leftmost, then longest, with the flags of the `tokenizers` package.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "teeny/text/tokenizer.h"
#include "text/flat_map.h"

namespace teeny {

class AddedTokenMatcher {
 public:
  // patterns[i] is what tokens[i] looks like in the text this matcher sees.
  struct Pattern {
    std::string text;
    const AddedToken* token;
  };
  explicit AddedTokenMatcher(std::vector<Pattern> patterns);
  bool empty() const { return patterns_.empty(); }

  // Cuts `text` (valid UTF-8) from front to back and calls on_text(part) and on_token(id).
  template <class OnText, class OnToken>
  void split(std::string_view text, OnText&& on_text, OnToken&& on_token) const {
    size_t done = 0, from = 0;
    Match match;
    while (!patterns_.empty() && find(text, from, match)) {
      from = match.stop;  // a discarded match still uses its text up
      if (!accept(text, done, match)) continue;
      if (done < match.start) on_text(text.substr(done, match.start - done));
      on_token(match.token->id);
      done = match.stop;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

 private:
  struct Match {
    size_t start = 0, stop = 0;
    const AddedToken* token = nullptr;
  };
  bool find(std::string_view text, size_t from, Match& match) const;
  static bool accept(std::string_view text, size_t done, Match& match);  // applies the flags

  std::vector<Pattern> patterns_;
  std::vector<int32_t> pattern_at_;  // by trie node, -1: no pattern ends there
  FlatMap<int32_t> children_;        // node << 8 | byte -> node
  bool starts_[256] = {};
  int only_start_ = -1;              // the byte that all patterns start with
};

}  // namespace teeny
