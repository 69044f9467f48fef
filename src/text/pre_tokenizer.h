// The pre-tokenizers of byte-level BPE: which parts of tokenizer.json each is, and how it cuts text.
#pragma once
#include <array>
#include <span>
#include <string_view>

#include "teeny/text/tokenizer.h"
#include "text/scanners.h"

namespace teeny {

// One part of a pre-tokenizer. What one stage cuts is cut further by the next.
struct PreStage {
  std::string_view pattern;  // of Split; empty: no Split but what `digits` says
  bool digits;               // Digits with individual_digits; else ByteLevel's own pattern, which is GPT-2's
  Scanner scan;
};
struct KnownPreTokenizer {
  PreTokenizer pre;
  std::string_view name;  // for messages
  std::array<PreStage, 3> stages;
  size_t count;
  std::span<const PreStage> parts() const { return std::span(stages).first(count); }
};
std::span<const KnownPreTokenizer> known_pre_tokenizers();
const KnownPreTokenizer& known_pre_tokenizer(PreTokenizer pre);  // not None
std::string_view gpt2_pattern();  // as a Split of its own it means what ByteLevel does with use_regex

}  // namespace teeny
