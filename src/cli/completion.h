// Completion scripts for shells, made from the same tables as --help.
#pragma once
#include <string>
#include <vector>

namespace teeny::cli {

// Usage error unless `shells` is one of bash, zsh, fish.
std::string completion_script(const std::vector<std::string>& shells);

}  // namespace teeny::cli
