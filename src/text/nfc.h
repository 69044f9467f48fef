// The NFC normalizer of the `tokenizers` package, whose tables are older than ICU's: newer characters stay as they are.
#pragma once
#include <string>
#include <string_view>

namespace teeny {

// `text` (valid UTF-8) itself when it is in NFC, else a normalized copy in `storage`. Thread-safe.
std::string_view normalize_nfc(std::string_view text, std::string& storage);

}  // namespace teeny
