// --help: the example first, then what the command does, then the options by group with their defaults.
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "cli/options.h"
#include "cli/text.h"
#include "teeny/core/error.h"

namespace teeny::cli {
namespace {

constexpr size_t kColumn = 32;  // where the help texts start

std::string left_column(const OptionInfo& info) {
  std::string left = "  ";
  for (const auto& name : info.names) left += (left.size() > 2 ? ", " : "") + name;
  if (info.takes != Takes::Nothing && info.names.back()[0] == '-') left += " " + info.metavar;
  return left;
}

std::string right_column(const OptionInfo& info) {
  std::string right = info.help;
  // A flag of few names shows them; the default stands last.
  if (!info.choices.empty()) right += fmt::format(" ({})", fmt::join(info.choices, ", "));
  if (info.required) right += " (required)";
  if (!info.shown_default.empty() && info.takes != Takes::Nothing) right += fmt::format(" [default: {}]", info.shown_default);
  return right;
}

std::string option_line(const OptionInfo& info, size_t width) {
  std::string left = left_column(info), above;
  if (left.size() + 2 > kColumn) above.swap(left);
  if (!above.empty()) above += '\n';
  left.resize(kColumn, ' ');
  return fmt::format("{}{}{}\n", above, left, wrap(right_column(info), kColumn, width));
}

}  // namespace

std::string wrap(const std::string& text, size_t indent, size_t width) {
  std::string out, line;
  const auto flush = [&] {
    if (!out.empty()) out += '\n', out.append(indent, ' ');
    out += line;
    line.clear();
  };
  for (size_t start = 0; start < text.size();) {
    const size_t space = std::min(text.find(' ', start), text.size());
    const std::string word = text.substr(start, space - start);
    if (!line.empty() && indent + line.size() + 1 + word.size() > width) flush();
    line += (line.empty() ? "" : " ") + word;
    start = space + 1;
  }
  flush();
  return out;
}

size_t terminal_width() {
  winsize size{};
  if (::isatty(STDOUT_FILENO) && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 60) return std::min<size_t>(size.ws_col, 140);
  return 100;
}

std::string Options::help(bool colour) const {
  const auto bold = [&](const std::string& text) { return colour ? fmt::format("\x1b[1m{}\x1b[0m", text) : text; };
  const size_t width = terminal_width();
  std::string out = bold("Example:") + "\n";
  for (const auto& example : examples_) out += "  " + example + "\n";
  out += fmt::format("\n{}\n\n{} teeny {}", wrap(summary_, 0, width), bold("Usage:"), command_);
  for (const auto& info : table_)
    if (info->names.back()[0] != '-') out += " " + info->metavar;
  out += " [options]\n";
  std::vector<std::string> groups;
  for (const auto& info : table_)
    if (std::find(groups.begin(), groups.end(), info->group) == groups.end()) groups.push_back(info->group);
  for (const auto& group : groups) {
    out += fmt::format("\n{}\n", bold(group + ":"));
    for (const auto& info : table_)
      if (info->group == group) out += option_line(*info, width);
  }
  return out;
}

}  // namespace teeny::cli
