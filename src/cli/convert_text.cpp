#include "cli/options.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "teeny/core/error.h"

namespace teeny::cli {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  return text;
}

// Edits (insert, delete, replace, swap of neighbours) that turn a into b.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

}  // namespace

std::string nearest(const std::string& typed, const std::vector<std::string>& candidates) {
  if (typed.size() > 64) return "";
  std::string best;
  size_t best_distance = std::max<size_t>(1, (typed.size() + 1) / 3) + 1;
  for (const auto& candidate : candidates) {
    const bool extends = typed.size() >= 4 && candidate.compare(0, typed.size(), typed) == 0;  // "--temp" for "--temperature"
    const size_t distance = extends ? 1 : edit_distance(lower(typed), lower(candidate));
    if (distance < best_distance) best = candidate, best_distance = distance;
  }
  return best;
}

std::string parse_choice(const std::string& text, const std::vector<std::string>& choices, const std::string& subject) {
  for (const auto& choice : choices)
    if (lower(choice) == lower(text)) return choice;
  const std::string near = nearest(text, choices);
  throw usage_error("usage", subject, "'{}' is not one of {}{}", text, fmt::join(choices, ", "),
                    near.empty() ? "" : "; did you mean " + near + "?");
}

int64_t parse_integer(const std::string& text, int64_t low, int64_t high, const std::string& subject) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string range = high == kNoMaximum ? fmt::format("{} or more", low) : fmt::format("{} to {}", low, high);
  if (error == std::errc::invalid_argument || end != text.data() + text.size())
    throw usage_error("usage", subject, "'{}' is not a whole number; give {}", text, range);
  if (error != std::errc() || value < low || value > high) throw usage_error("usage", subject, "{} is out of range; give {}", text, range);
  return value;
}

double parse_number(const std::string& text, double low, double high, const std::string& subject) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string range = std::isinf(high) ? fmt::format("{:g} or more", low) : fmt::format("{:g} to {:g}", low, high);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    throw usage_error("usage", subject, "'{}' is not a number; give {}", text, range);
  if (value < low || value > high) throw usage_error("usage", subject, "{} is out of range; give {}", text, range);
  return value;
}

uint64_t parse_bytes(const std::string& text, const std::string& subject) {
  static const std::pair<const char*, double> kUnits[] = {{"", 1},      {"b", 1},        {"k", 1e3},      {"kb", 1e3},     {"kib", 1024.},
                                                          {"m", 1e6},   {"mb", 1e6},     {"mib", 0x1p20}, {"g", 1e9},      {"gb", 1e9},
                                                          {"gib", 0x1p30}, {"t", 1e12},  {"tb", 1e12},    {"tib", 0x1p40}};
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  std::string unit = lower(text.substr(digits));
  unit.erase(0, unit.find_first_not_of(' '));
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value);
  if (digits > 0 && error == std::errc() && end == text.data() + digits)
    for (const auto& [name, factor] : kUnits)
      if (unit == name && value * factor >= 1 && value * factor < 0x1p62) return uint64_t(value * factor);
  throw usage_error("usage", subject, "'{}' is not a size; give a number and B, KB, MB, GB, KiB, MiB or GiB, like 9GB", text);
}

std::vector<std::string> split_commas(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t start = 0; start <= text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    parts.push_back(text.substr(start, comma - start));
    start = comma + 1;
  }
  return parts;
}

}  // namespace teeny::cli
