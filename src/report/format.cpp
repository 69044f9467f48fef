#include "report/format.h"

#include <array>
#include <cmath>

#include "teeny/core/error.h"

namespace teeny::report {
namespace {
constexpr const char* kMinus = "\u2212";
constexpr const char* kReplacement = "\uFFFD";

// Length of the valid UTF-8 sequence at text[at], 0: invalid (overlong, surrogate, truncated).
size_t sequence_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return i < text.size() ? uint8_t(text[i]) : uint8_t(0); };
  const auto tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const uint8_t b = byte(at), c = byte(at + 1);
  if (b < 0x80) return 1;
  if (b >= 0xc2 && b <= 0xdf) return tail(at + 1) ? 2 : 0;
  if (b >= 0xe0 && b <= 0xef) {
    const bool good = tail(at + 1) && tail(at + 2) && !(b == 0xe0 && c < 0xa0) && !(b == 0xed && c > 0x9f);
    return good ? 3 : 0;
  }
  if (b >= 0xf0 && b <= 0xf4) {
    const bool good = tail(at + 1) && tail(at + 2) && tail(at + 3) && !(b == 0xf0 && c < 0x90) && !(b == 0xf4 && c > 0x8f);
    return good ? 4 : 0;
  }
  return 0;
}

template <class Emit>
std::string transform(std::string_view text, Emit emit) {
  std::string out;
  out.reserve(text.size() + 16);
  for (size_t at = 0; at < text.size();) {
    const size_t n = sequence_length(text, at);
    if (n == 0) {
      out += kReplacement;
      ++at;
      continue;
    }
    const std::string_view one = text.substr(at, n);
    // Bidirectional overrides and line separators reorder or break what stands beside them.
    const bool hostile = n == 1 ? (uint8_t(one[0]) < 0x20 && one[0] != '\n' && one[0] != '\t') || one[0] == 0x7f
                                : one >= "\u2028" && one <= "\u202E" && n == 3;
    hostile ? void(out += kReplacement) : emit(one, out);
    at += n;
  }
  return out;
}

std::string with_minus(const std::string& text) { return text.starts_with('-') ? kMinus + text.substr(1) : text; }
}  // namespace

std::string short_count(double n) {
  constexpr std::array units{"", "K", "M", "B", "T"};
  size_t unit = 0;
  while (std::abs(n) >= 999.5 && unit + 1 < units.size()) n /= 1000, ++unit;
  return fmt::format("{:.{}f}{}", n, unit && n < 99.95 ? 1 : 0, units[unit]);
}

std::string decimals(double value, int significant) {
  if (!std::isfinite(value)) return "n/a";
  if (value == 0) return "0";
  const double size = std::abs(value);
  if (size < 1e-4 || size >= 1e9) return with_minus(fmt::format("{:.{}e}", value, std::max(0, significant - 1)));
  const int before = int(std::floor(std::log10(size))) + 1;
  return with_minus(fmt::format("{:.{}f}", value, std::max(0, significant - before)));
}

std::string nats(double value) { return decimals(value, std::abs(value) < 0.001 ? 2 : 3); }

std::string percent(double share, int digits) { return std::isfinite(share) ? with_minus(fmt::format("{:.{}f} %", share * 100, digits)) : "n/a"; }

std::string signed_percent(double share, int digits) {
  if (!std::isfinite(share)) return "n/a";
  return with_minus(fmt::format("{:+.{}f} %", share * 100, digits));
}
std::string signed_points(double share) { return std::isfinite(share) ? with_minus(fmt::format("{:+.1f} pt", share * 100)) : "n/a"; }

std::string p_value(double p) {
  if (!std::isfinite(p)) return "n/a";
  if (p < 0.001) return "< 0.001";
  return p < 0.1 ? fmt::format("{:.3f}", p) : fmt::format("{:.2f}", p);
}

std::string clip_text(std::string_view text, size_t characters) {
  size_t count = 0, keep = 0;
  for (size_t at = 0; at < text.size();) {
    if (++count == characters) keep = at;
    if (count > characters) return std::string(text.substr(0, keep)) + "\u2026";
    at += std::max<size_t>(1, sequence_length(text, at));
  }
  return std::string(text);
}

std::string escape_html(std::string_view text) {
  return transform(text, [](std::string_view one, std::string& out) {
    switch (one[0]) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += one;
    }
  });
}

std::string escape_markdown(std::string_view text) {
  return transform(text, [](std::string_view one, std::string& out) {
    if (one[0] == '\n') return void(out += ' ');
    if (one[0] == '<') return void(out += "&lt;");
    if (one[0] == '&') return void(out += "&amp;");
    if (one.size() == 1 && std::string_view("\\`*_{}[]()#|!>~").find(one[0]) != std::string_view::npos) out += '\\';
    out += one;
  });
}

std::string csv_cell(std::string_view text) {
  std::string safe = transform(text, [](std::string_view one, std::string& out) { out += one; });
  if (!safe.empty() && std::string_view("=+-@\t").find(safe[0]) != std::string_view::npos) safe = std::string(1, '\'').append(safe);
  if (safe.find_first_of(",\"\n\r") == std::string::npos) return safe;
  std::string out = "\"";
  for (char c : safe) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

const char* name_of(Comparison comparison) {
  constexpr const char* names[] = {"methods", "bits", "models", "hardware"};
  return names[size_t(comparison)];
}

}  // namespace teeny::report

namespace teeny {

Comparison comparison_from_name(const std::string& name) {
  for (auto c : {Comparison::Methods, Comparison::Bits, Comparison::Models, Comparison::Hardware})
    if (name == report::name_of(c)) return c;
  throw usage_error("report", "--comparison-type", "is \"{}\", expected methods, bits, models or hardware", name);
}

}  // namespace teeny
