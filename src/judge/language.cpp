// The registry of languages, and the netstrings that their processes speak.
#include "judge/language.h"

#include <algorithm>

namespace teeny::judge {

const std::vector<Language>& languages() {
  static const std::vector<Language> table = {
      python_language(),
      javascript_language(),
  };
  return table;
}

const Language* find_language(std::string_view id) {
  for (const Language& language : languages())
    if (language.id == id) return &language;
  return nullptr;
}

std::string netstring(std::string_view text) { return std::to_string(text.size()) + ":" + std::string(text); }

std::vector<std::string> netstrings(std::string_view payload) {
  std::vector<std::string> out;
  while (!payload.empty()) {
    size_t length = 0, i = 0;
    while (i < payload.size() && i < 10 && payload[i] >= '0' && payload[i] <= '9') length = length * 10 + size_t(payload[i++] - '0');
    if (i == 0 || i >= payload.size() || payload[i] != ':' || length > payload.size() - i - 1) break;
    out.emplace_back(payload.substr(i + 1, length));
    payload.remove_prefix(i + 1 + length);
  }
  return out;
}

}  // namespace teeny::judge
