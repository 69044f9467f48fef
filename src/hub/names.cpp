#include "hub/names.h"

#include <algorithm>

#include <fmt/format.h>

namespace teeny::hub {
namespace {

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_plain(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'; }

bool is_repo_part(std::string_view part) {
  if (part.empty() || part.size() > 96 || !std::all_of(part.begin(), part.end(), is_plain)) return false;
  for (char edge : {part.front(), part.back()})
    if (edge == '-' || edge == '.') return false;
  return part.find("--") == part.npos && part.find("..") == part.npos;  // "--" separates org and name in the cache
}

// Shortest forms only, no surrogates: a second spelling of '/' must not exist.
bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
    if (n == 0 || i + n > text.size()) return false;
    for (size_t k = 1; k < n; ++k)
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    const auto second = n > 1 ? static_cast<unsigned char>(text[i + 1]) : 0;
    if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second >= 0xa0) || (c == 0xf0 && second < 0x90) || (c == 0xf4 && second >= 0x90)) return false;
    i += n;
  }
  return true;
}

bool is_safe_part(std::string_view part) {
  if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
  if (part.size() > 1 && part[1] == ':') return false;  // a drive
  return std::none_of(part.begin(), part.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\'; });
}

std::string encode(std::string_view text, bool keep_slash) {
  std::string out;
  for (char c : text) {
    if (is_plain(c) || c == '~' || (keep_slash && c == '/')) out += c;
    else out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

bool is_repo_name(std::string_view text) {
  const size_t slash = text.find('/');
  return slash != text.npos && is_repo_part(text.substr(0, slash)) && is_repo_part(text.substr(slash + 1));
}

bool is_revision(std::string_view text) {
  return text.size() <= 200 && is_contained(text) && std::all_of(text.begin(), text.end(), [](char c) { return is_plain(c) || c == '/' || c == '+'; });
}

bool is_commit(std::string_view text) { return is_hex(text, 40); }
bool is_sha256(std::string_view text) { return is_hex(text, 64); }

bool is_contained(std::string_view path) {
  if (path.empty() || path.size() > 1024 || !is_utf8(path)) return false;
  for (size_t start = 0; start <= path.size();) {
    const size_t slash = std::min(path.find('/', start), path.size());
    if (!is_safe_part(path.substr(start, slash - start))) return false;
    start = slash + 1;
  }
  return true;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
  return out;
}

std::string url_path(std::string_view path) { return encode(path, true); }
std::string url_part(std::string_view part) { return encode(part, false); }

}  // namespace teeny::hub
