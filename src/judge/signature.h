// The function that a prompt leaves open: its name, for sets that do not give it, and its head, from which the tests' stand-in
// is made. Plain scanning: prompts come from files, and std::regex recurses as deep as its input is long.
#pragma once
#include <string>
#include <vector>

#include "judge/language.h"

namespace teeny::judge {

// By the language's EntryMarks; "" when the name cannot be found.
std::string find_entry_point(const Language& language, const Problem& problem);

// The head "TYPE NAME(TYPE a, TYPE b) {" that ends a C-like prompt.
struct Signature {
  std::string preamble;                 // the prompt before that line
  std::string head;                     // the line without its opening bracket
  std::string type;                     // of the result, without "public static"
  std::vector<std::string> parameters;  // their names
};
// Input error when the prompt does not end so.
Signature read_signature(const Problem& problem);

std::string replace_all(std::string text, const std::string& from, const std::string& to);

}  // namespace teeny::judge
