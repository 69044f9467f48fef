#pragma once
#include <exception>
#include <string>
#include <vector>

namespace teeny::cli {

// The exit code and the message of whatever was thrown; `args` is the command line, for the command that resumes.
int explain(std::exception_ptr thrown, const std::vector<std::string>& args, bool resumable, std::string& message);
std::string top_help(bool colour);
std::string version_text();

}  // namespace teeny::cli
