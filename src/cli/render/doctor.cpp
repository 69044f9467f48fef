#include <algorithm>

#include <fmt/format.h>

#include "cli/output.h"
#include "cli/render.h"
#include "cli/text.h"
#include "teeny/core/log.h"

namespace teeny::cli {

std::string render_doctor(const Json& record, bool colour) {
  std::string out;
  size_t width = 0;
  const Json& checks = record.at("doctor").at("checks");
  for (const auto& check : checks) width = std::max(width, display_width(text_at(check, {"name"})));
  for (const auto& check : checks) {
    const std::string status = text_at(check, {"status"}), name = printable(text_at(check, {"name"}));
    const char* code = status == "failed" ? kRed : status == "missing" || status == "warning" ? kYellow : kDim;
    const size_t indent = width + 11;
    out += fmt::format("{}{}  {}\n", style(colour, code, fmt::format("{:<9}", status)), fmt::format("{:<{}}", name, width), wrap(printable(text_at(check, {"detail"})), indent, terminal_width()));
    if (const auto advice = text_at(check, {"advice"}); !advice.empty()) out += fmt::format("{}{}\n", std::string(indent, ' '), wrap("-> " + advice, indent + 3, terminal_width()));
  }
  return out;
}

}  // namespace teeny::cli
