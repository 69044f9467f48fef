#include "family/fields.h"

#include <cmath>

#include "teeny/containers/source.h"
#include "teeny/core/error.h"

namespace teeny {

void Fields::wrong(const char* key, const Json& value, const std::string& expected) const {
  throw input_error(where_, subject_, "\"{}\" is {}, expected {}", key, printable(value.dump(-1, ' ', true, Json::error_handler_t::replace), 60), expected);
}

const Json* Fields::find(const char* key) const {
  if (!object_.is_object()) return nullptr;
  const auto at = object_.find(key);
  return at == object_.end() ? nullptr : &*at;
}

bool Fields::has_value(const char* key) const {
  const auto* value = find(key);
  return value && !value->is_null();
}

int64_t Fields::size(const char* key, int64_t max) const {
  if (const auto value = size_if(key, max)) return *value;
  throw input_error(where_, subject_, "\"{}\" is absent; is this the config.json of a causal language model?", key);
}

std::optional<int64_t> Fields::size_if(const char* key, int64_t max) const {
  const auto* value = find(key);
  if (!value) return std::nullopt;
  const auto expected = fmt::format("a whole number from 1 to {}", max);
  const auto number = natural(*value);
  if (!number || *number == 0 || *number > max) wrong(key, *value, expected);
  return number;
}

std::optional<int64_t> Fields::integer(const char* key) const {
  if (!has_value(key)) return std::nullopt;
  const auto& value = *find(key);
  if (!value.is_number_integer()) wrong(key, value, "a whole number");
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t(INT64_MAX)) wrong(key, value, "a number below 2^63");
  return value.get<int64_t>();
}

std::optional<double> Fields::number(const char* key) const {
  if (!has_value(key)) return std::nullopt;
  const auto& value = *find(key);
  if (!value.is_number() || !std::isfinite(value.get<double>())) wrong(key, value, "a number");
  return value.get<double>();
}

std::optional<bool> Fields::boolean(const char* key) const {
  if (!has_value(key)) return std::nullopt;
  const auto& value = *find(key);
  if (!value.is_boolean()) wrong(key, value, "true or false");
  return value.get<bool>();
}

std::optional<std::string> Fields::string(const char* key) const {
  if (!has_value(key)) return std::nullopt;
  const auto& value = *find(key);
  if (!value.is_string()) wrong(key, value, "a string");
  return value.get<std::string>();
}

}  // namespace teeny
