#include "text/normalize.h"

#include <algorithm>

#include "text/nfc.h"

namespace teeny {
namespace {

std::string_view mark(std::string_view text, bool prefix, std::string& storage) {
  storage.clear();
  storage.reserve(text.size() + text.size() / 2 + kSpaceMarker.size());
  if (prefix) storage += kSpaceMarker;
  for (size_t at = 0; at < text.size();) {
    const size_t space = std::min(text.find(' ', at), text.size());
    storage.append(text, at, space - at);
    if (space < text.size()) storage += kSpaceMarker;
    at = space + 1;
  }
  return storage;
}

}  // namespace

std::string_view normalize(const BpeData& data, std::string_view text, std::string& storage, std::string& marked) {
  if (data.nfc) text = normalize_nfc(text, storage);
  if (data.alphabet != Alphabet::Characters || data.metaspace || text.empty()) return text;
  return mark(text, data.prefix == SpacePrefix::Part, marked);
}

std::string_view mark_spaces(const BpeData& data, std::string_view text, bool at_start, std::string& storage) {
  const bool wanted = data.prefix == SpacePrefix::Always || (data.prefix == SpacePrefix::First && at_start);
  return mark(text, wanted && !text.starts_with(' ') && !text.starts_with(kSpaceMarker), storage);
}

}  // namespace teeny
