#include <algorithm>
#include <charconv>
#include <filesystem>

#include "hub/names.h"
#include "teeny/core/env.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/hub/hub.h"

namespace teeny {
namespace {

std::string expand_home(std::string path) {
  if (path == "~" || path.rfind("~/", 0) == 0) return env("HOME").value_or("") + path.substr(1);
  return path;
}

std::string first_of(std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (const auto value = env(name)) return *value;
  return "";
}

std::string hub_home() {
  if (const auto home = env("HF_HOME")) return expand_home(*home);
  const auto cache = env("XDG_CACHE_HOME");
  return path_join(cache ? expand_home(*cache) : expand_home("~/.cache"), "huggingface");
}

bool is_on(const char* name) {
  const std::string value = hub::lower(env(name).value_or(""));
  return value == "1" || value == "on" || value == "yes" || value == "true";
}

std::string trimmed(std::string text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.back())) text.pop_back();
  const auto start = std::find_if_not(text.begin(), text.end(), blank);
  return {start, text.end()};
}

std::string read_token() {
  std::string token = trimmed(first_of({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})), from = "HF_TOKEN";
  if (token.empty()) {
    const auto place = env("HF_TOKEN_PATH");
    from = place ? expand_home(*place) : path_join(hub_home(), "token");
    if (path_exists(from)) token = trimmed(read_file(from, 64 << 10));
  }
  // It becomes a header: a line break in it would become another header. The value itself is never shown.
  if (token.size() > 4096 || std::any_of(token.begin(), token.end(), [](char c) { return c <= ' ' || c >= 0x7f; }))
    throw input_error("hub", from, "is not a token: it has blanks, control characters or other alphabets in it; log in again, or unset it");
  return token;
}

double number_in(const char* name, double usual, double low, double high) {
  const auto text = env(name);
  if (!text) return usual;
  double value = 0;
  const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (code != std::errc() || end != text->data() + text->size() || !(value >= low && value <= high))
    throw usage_error("hub", name, "'{}' is not a number from {} to {}", *text, low, high);
  return value;
}

}  // namespace

HubSettings hub_settings() {
  HubSettings settings;
  if (const auto endpoint = env("HF_ENDPOINT")) settings.endpoint = *endpoint;
  while (!settings.endpoint.empty() && settings.endpoint.back() == '/') settings.endpoint.pop_back();
  if (settings.endpoint.rfind("https://", 0) != 0 && settings.endpoint.rfind("http://", 0) != 0)
    throw usage_error("hub", "HF_ENDPOINT", "'{}' is not an address that begins with https:// or http://", settings.endpoint);
  const std::string cache = first_of({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"});
  settings.cache = cache.empty() ? path_join(hub_home(), "hub") : expand_home(cache);
  settings.offline = is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE");
  if (!settings.offline) settings.token = read_token();
  settings.certificates = first_of({"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"});
  settings.silence = number_in("HF_HUB_DOWNLOAD_TIMEOUT", settings.silence, 1, 3600);
  settings.attempts = int(number_in("TEENY_HUB_ATTEMPTS", settings.attempts, 1, 100));
  settings.connections = int(number_in("TEENY_HUB_CONNECTIONS", settings.connections, 1, 32));
  return settings;
}

}  // namespace teeny
