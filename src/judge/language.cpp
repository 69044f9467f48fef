// The registry of languages, the netstrings that their processes speak, and what several of them share.
#include "judge/language.h"

#include <algorithm>

#include "teeny/core/error.h"

namespace teeny::judge {

const std::vector<Language>& languages() {
  static const std::vector<Language> table = {
      python_language(), javascript_language(), typescript_language(), php_language(),
      shell_language(),  cpp_language(),        java_language(),       csharp_language(),
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

namespace {
// Where the test's own text begins: after a leading "}" (and the spaces around it); 0 when it has none.
size_t after_closing(const std::string& test) {
  size_t at = test.find_first_not_of(" \t\r\n");
  return at == std::string::npos || test[at] != '}' ? 0 : at + 1;
}
}  // namespace

std::string closing(const Problem& problem) {
  if (!after_closing(problem.test)) return "";
  return problem.language == "java" || problem.language == "cs" ? "\n    }\n}\n" : "\n}\n";
}

std::string test_without_closing(const Problem& problem) { return problem.test.substr(after_closing(problem.test)); }

OpenedPrompt split_prompt(const std::string& prompt) {
  size_t end = prompt.find_last_not_of(" \t\r\n");
  if (end == std::string::npos || prompt[end] != '{')
    throw input_error("judge", "prompt", "does not end with the head of a function (\"... {{\"), which the test's stand-in is made from; fix the problem set");
  size_t start = prompt.rfind('\n', end);
  start = start == std::string::npos ? 0 : start + 1;
  return {prompt.substr(0, start), prompt.substr(start, end - start)};
}

std::vector<std::string> load_then(const std::string& command) {
  return {"/bin/sh", "-c",
          "n=$(od -An -tu4 -N4 <&3) && head -c 1 <&3 >/dev/null && head -c $((n - 1)) <&3 >/tmp/program && chmod 755 /tmp/program && exec " + command};
}

}  // namespace teeny::judge
