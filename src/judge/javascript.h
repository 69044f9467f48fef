// What TypeScript shares with JavaScript: both run under node.
#pragma once
#include "judge/language.h"

namespace teeny::judge {

std::vector<std::string> javascript_worker(const Language::Tools& tools);
std::vector<std::string> javascript_driver(const Language::Tools& tools);
inline constexpr EntryMarks kJavaScriptEntry{"candidate =", ";", "function", "("};

}  // namespace teeny::judge
