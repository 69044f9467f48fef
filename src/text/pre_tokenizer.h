// Hand-written scanners for the three known pre-tokenizer patterns: no regex engine ever runs on a file's pattern.
#pragma once
#include <string_view>

#include "teeny/text/tokenizer.h"

namespace teeny {

// The end of the piece that starts at `p` (p < end) of valid UTF-8 text that ends at `end`.
using Scanner = const char* (*)(const char* p, const char* end);
Scanner scanner_of(PreTokenizer pre);
std::string_view pattern_of(PreTokenizer pre);  // as tokenizer.json has it

}  // namespace teeny
