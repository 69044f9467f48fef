// Typed access to GGUF metadata. Loaders compare types exactly, so the writers name the type, and readers refuse others.
#include <cmath>

#include "containers/gguf/header.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

[[noreturn]] void wrong_type(const std::string& key, const GgufValue& value, std::string_view wanted) {
  const auto have = value.type == kGgufArray ? "an array of " + gguf_type_name(value.element) : gguf_type_name(value.type);
  throw input_error("gguf", printable(key), "has the type {}, expected {}", have, wanted);
}

int64_t to_int64(const std::string& key, uint64_t value) {
  if (value > uint64_t(INT64_MAX)) throw input_error("gguf", printable(key), "is {}, beyond 63 bits", value);
  return int64_t(value);
}

}  // namespace

std::string gguf_type_name(uint32_t type) {
  static constexpr const char* kNames[] = {"u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};
  return type < std::size(kNames) ? kNames[type] : fmt::format("type {}", type);
}

void GgufMetadata::set(const std::string& key, GgufValue value) {
  const auto [at, fresh] = index_.emplace(key, entries_.size());
  if (fresh) entries_.emplace_back(key, std::move(value));
  else entries_[at->second].second = std::move(value);
}

const GgufValue* GgufMetadata::find(const std::string& key) const {
  const auto at = index_.find(key);
  return at == index_.end() ? nullptr : &entries_[at->second].second;
}

std::optional<std::string> GgufMetadata::string(const std::string& key) const {
  const auto* value = find(key);
  if (!value) return std::nullopt;
  if (const auto* text = std::get_if<std::string>(&value->value)) return *text;
  wrong_type(key, *value, "a string");
}

std::optional<int64_t> GgufMetadata::integer(const std::string& key) const {
  const auto* value = find(key);
  if (!value) return std::nullopt;
  if (const auto* number = std::get_if<int64_t>(&value->value)) return *number;
  if (const auto* number = std::get_if<uint64_t>(&value->value)) return to_int64(key, *number);
  wrong_type(key, *value, "an integer");
}

std::optional<double> GgufMetadata::number(const std::string& key) const {
  const auto* value = find(key);
  if (!value) return std::nullopt;
  if (const auto* number = std::get_if<int64_t>(&value->value)) return double(*number);
  if (const auto* number = std::get_if<uint64_t>(&value->value)) return double(*number);
  if (const auto* number = std::get_if<double>(&value->value)) return *number;
  wrong_type(key, *value, "a number");
}

std::optional<bool> GgufMetadata::boolean(const std::string& key) const {
  const auto* value = find(key);
  if (!value) return std::nullopt;
  if (const auto* flag = std::get_if<bool>(&value->value)) return *flag;
  wrong_type(key, *value, "a bool");
}

const std::vector<std::string>* GgufMetadata::strings(const std::string& key) const {
  const auto* value = find(key);
  if (!value) return nullptr;
  if (const auto* array = std::get_if<GgufArray>(&value->value))
    if (const auto* texts = std::get_if<std::vector<std::string>>(array)) return texts;
  wrong_type(key, *value, "an array of strings");
}

std::optional<std::vector<int64_t>> GgufMetadata::integers(const std::string& key) const {
  const auto* value = find(key);
  if (!value) return std::nullopt;
  if (const auto* array = std::get_if<GgufArray>(&value->value)) {
    if (const auto* numbers = std::get_if<std::vector<int64_t>>(array)) return *numbers;
    if (const auto* numbers = std::get_if<std::vector<uint64_t>>(array)) {
      std::vector<int64_t> out;
      out.reserve(numbers->size());
      for (const uint64_t number : *numbers) out.push_back(to_int64(key, number));
      return out;
    }
  }
  wrong_type(key, *value, "an array of integers");
}

std::optional<std::vector<double>> GgufMetadata::numbers(const std::string& key) const {
  const auto* value = find(key);
  if (!value) return std::nullopt;
  if (const auto* array = std::get_if<GgufArray>(&value->value)) {
    if (const auto* numbers = std::get_if<std::vector<double>>(array)) return *numbers;
    if (const auto* numbers = std::get_if<std::vector<int64_t>>(array)) return std::vector<double>(numbers->begin(), numbers->end());
    if (const auto* numbers = std::get_if<std::vector<uint64_t>>(array)) return std::vector<double>(numbers->begin(), numbers->end());
  }
  wrong_type(key, *value, "an array of numbers");
}

void GgufMetadata::set_string(const std::string& key, std::string value) { set(key, {kGgufString, 0, std::move(value)}); }
void GgufMetadata::set_u32(const std::string& key, uint32_t value) { set(key, {kGgufU32, 0, uint64_t(value)}); }
void GgufMetadata::set_f32(const std::string& key, float value) { set(key, {kGgufF32, 0, double(value)}); }
void GgufMetadata::set_bool(const std::string& key, bool value) { set(key, {kGgufBool, 0, value}); }
void GgufMetadata::set_strings(const std::string& key, std::vector<std::string> value) { set(key, {kGgufArray, kGgufString, GgufArray(std::move(value))}); }
void GgufMetadata::set_i32s(const std::string& key, std::vector<int64_t> value) { set(key, {kGgufArray, kGgufI32, GgufArray(std::move(value))}); }
void GgufMetadata::set_f32s(const std::string& key, std::vector<double> value) { set(key, {kGgufArray, kGgufF32, GgufArray(std::move(value))}); }

}  // namespace teeny
