// What the judge needs to know of a language. A new language is one file that defines a Language, and one line in the
// registry of language.cpp.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/judge/judge.h"

namespace teeny::judge {

// A language is judged by two processes with one protocol. Frames are a 4-byte little-endian length and a payload whose
// first byte is its kind; strings inside are netstrings ("<length>:<bytes>").
//   to the worker    P entry source            C call
//   from the worker  L kind name message       R reply      (kind "ok" or why the program could not be loaded)
//   to the driver    J nonce entry prompt test timeout      R reply
//   from the driver  C call                    V nonce kind name message
// Calls and replies pass through the judge unread. Both processes have the channel at descriptors 3 (read), 4 (write).
// Kinds: ok, wrong, syntax, truncated, name, type, exception, memory, refused, unsupported.
struct Language {
  std::string id;
  std::vector<std::string> preferred;    // absolute paths tried before PATH
  std::vector<std::string> executables;  // names looked up in PATH
  std::vector<std::string> stops;
  std::vector<std::string> version_arguments;
  std::vector<std::string> (*worker_arguments)();
  std::vector<std::string> (*driver_arguments)();
  uint64_t address_space;                // RLIMIT_AS in bytes; what the runtime reserves counts too
  std::string (*find_entry_point)(const Problem&);  // for sets without that field; "" when there is none
};

const std::vector<Language>& languages();
const Language* find_language(std::string_view id);

Language python_language();
Language javascript_language();

std::string netstring(std::string_view text);
std::vector<std::string> netstrings(std::string_view payload);  // stops at the first malformed one

}  // namespace teeny::judge
