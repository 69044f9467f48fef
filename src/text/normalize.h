// What happens to a stretch of text between added tokens before it is cut into words.
#pragma once
#include <string>
#include <string_view>

#include "teeny/text/tokenizer.h"

namespace teeny {

inline constexpr std::string_view kSpaceMarker = "\xE2\x96\x81";  // U+2581

// What tokenizer.json calls the normalizer: NFC; for SpacePrefix::Part U+2581 in front and for every space. Added tokens
// with normalized = true are sought in the result. The result may be in either storage, or `text` itself.
std::string_view normalize(const BpeData& data, std::string_view text, std::string& storage, std::string& marked);
// What the Metaspace pre-tokenizer does first: U+2581 for every space and, as the data say, in front.
std::string_view mark_spaces(const BpeData& data, std::string_view text, bool at_start, std::string& storage);

}  // namespace teeny
