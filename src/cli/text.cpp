#include "cli/text.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "teeny/core/log.h"

namespace teeny::cli {
namespace {

bool is_numeric(const std::string& cell) {
  return !cell.empty() && (std::isdigit(static_cast<unsigned char>(cell[0])) || ((cell[0] == '-' || cell[0] == '+') && cell.size() > 1));
}

}  // namespace

size_t display_width(const std::string& text) {
  return size_t(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string Table::str(size_t indent) const {
  const size_t columns = rows_[0].size();
  std::vector<size_t> width(columns, 0);
  std::vector<bool> right(columns, rows_.size() > 1);
  for (size_t r = 0; r < rows_.size(); ++r)
    for (size_t c = 0; c < columns; ++c) {
      width[c] = std::max(width[c], display_width(printable(rows_[r][c])));
      if (r > 0 && !rows_[r][c].empty() && rows_[r][c] != "-" && !is_numeric(rows_[r][c])) right[c] = false;
    }
  std::string out;
  const auto line = [&](const std::vector<std::string>& row) {
    std::string text(indent, ' ');
    for (size_t c = 0; c < columns; ++c) {
      const std::string cell = printable(row[c]);
      const std::string pad(width[c] - display_width(cell), ' ');
      text += fmt::format("{}{}{}", c ? "  " : "", right[c] ? pad : cell, right[c] ? cell : pad);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  line(rows_[0]);
  std::string rule(indent, ' ');
  for (size_t c = 0; c < columns; ++c) rule += fmt::format("{}{}", c ? "  " : "", std::string(width[c], '-'));
  out += rule + "\n";
  for (size_t r = 1; r < rows_.size(); ++r) line(rows_[r]);
  return out;
}

std::string percent(double ratio, int digits) { return fmt::format("{:.{}f} %", ratio * 100, digits); }

std::string duration(double seconds) {
  if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = int64_t(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {:02d} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02d} min", whole / 3600, whole % 3600 / 60);
}

std::string thousands(int64_t value) {
  std::string digits = std::to_string(std::abs(value));
  for (int64_t place = int64_t(digits.size()) - 3; place > 0; place -= 3) digits.insert(size_t(place), 1, ' ');
  return (value < 0 ? "-" : "") + digits;
}

std::string significant(double value, int digits) {
  if (!std::isfinite(value)) return std::isnan(value) ? "not a number" : value > 0 ? "infinite" : "-infinite";
  const double size = std::abs(value);
  if (size >= 100) return fmt::format("{:.{}f}", value, size >= 1000 ? 0 : 1);
  return fmt::format("{:.{}g}", value, digits);
}

std::string shell_quote(const std::string& text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("-_./=:,@+%").find(c) != std::string_view::npos;
  });
  if (plain) return text;
  std::string quoted = "'";
  for (char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  quoted += '\'';
  return quoted;
}

const Json* find(const Json& json, std::initializer_list<const char*> path) {
  const Json* at = &json;
  for (const char* key : path) {
    if (!at->is_object() || !at->contains(key)) return nullptr;
    at = &(*at)[key];
  }
  return at->is_null() ? nullptr : at;
}

std::string text_at(const Json& json, std::initializer_list<const char*> path, const std::string& fallback) {
  const Json* found = find(json, path);
  if (!found) return fallback;
  return found->is_string() ? found->get<std::string>() : found->dump();
}

double number_at(const Json& json, std::initializer_list<const char*> path, double fallback) {
  const Json* found = find(json, path);
  return found && found->is_number() ? found->get<double>() : fallback;
}

}  // namespace teeny::cli
