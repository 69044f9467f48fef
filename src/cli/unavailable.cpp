// What the interface names and this version cannot do yet. Nothing of it is ignored silently: an option of this table is
// refused with exit code 3. When the engine learns one, its line is deleted.
#include <algorithm>

#include "cli/command.h"
#include "teeny/core/error.h"

namespace teeny::cli {
namespace {

struct Unavailable {
  const char* option;
  std::vector<std::string> harmless;  // values that ask for what happens anyway
  const char* instead;
  std::vector<std::string> commands = {};  // only there; empty: everywhere
};

const std::vector<Unavailable>& table() {
  static const std::vector<Unavailable> lines{
      {"--tensor-parallel", {"1"}, "use one GPU (--device cuda:N)"},
      {"--isa", {}, "leave it out: the best instruction set is found by itself"},
  };
  return lines;
}

const Unavailable* entry(const std::string& option, const std::string& command) {
  for (const auto& line : table())
    if (line.option == option && (line.commands.empty() || std::count(line.commands.begin(), line.commands.end(), command))) return &line;
  return nullptr;
}

}  // namespace

void refuse_unavailable(const Options& options) {
  for (const auto& info : options.table()) {
    const std::string& name = info->long_name();
    const Unavailable* line = options.given(name) ? entry(name, options.command()) : nullptr;
    if (!line) continue;
    const std::string value = options.value(name);
    if (std::count(line->harmless.begin(), line->harmless.end(), value)) continue;
    const bool flag = info->takes == Takes::Nothing;
    throw input_error(options.command(), flag ? name : name + " " + value, "is not available in this version of teeny; {}", line->instead);
  }
}

bool resume_available(const std::string& command) { return (command == "quantize" || command == "eval") && !entry("--resume", command); }

}  // namespace teeny::cli
