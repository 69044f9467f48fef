// A Log that writes lines to stderr. The logging library stays behind this header.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "teeny/core/context.h"

namespace teeny {

struct LogOptions {
  LogLevel level = LogLevel::Info;
  bool colour = false;
  std::function<void()> before_line, after_line;  // a progress bar clears and redraws itself around a line
};

std::unique_ptr<Log> make_stderr_log(LogOptions options);
std::optional<LogLevel> log_level_from_name(std::string_view name);  // debug info warn error off
// Text that is safe on a terminal: control characters (escape sequences in names from files) become \xNN; newlines and
// tabs stay when `keep_lines`, else they become spaces.
std::string printable(std::string_view text, bool keep_lines = false);

}  // namespace teeny
