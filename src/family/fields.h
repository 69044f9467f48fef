// Typed, bounded reads from a JSON object of a file. Messages name the file and the key.
#pragma once
#include <optional>
#include <string>

#include "teeny/core/json.h"

namespace teeny {

// A whole number >= 0 below 2^63, however the JSON library stores its sign.
inline std::optional<int64_t> natural(const Json& value) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t(INT64_MAX)) return std::nullopt;
  if (!value.is_number_integer() || value.get<int64_t>() < 0) return std::nullopt;
  return value.get<int64_t>();
}

class Fields {
 public:
  Fields(const Json& object, std::string where, std::string subject) : object_(object), where_(std::move(where)), subject_(std::move(subject)) {}
  const Json* find(const char* key) const;  // nullptr: absent
  bool has_value(const char* key) const;    // present and not null
  // A positive whole number up to `max`; absent is an error.
  int64_t size(const char* key, int64_t max) const;
  std::optional<int64_t> size_if(const char* key, int64_t max) const;  // absent: nullopt; null is an error
  std::optional<int64_t> integer(const char* key) const;               // absent or null: nullopt
  std::optional<double> number(const char* key) const;                 // absent or null: nullopt; finite
  std::optional<bool> boolean(const char* key) const;                  // absent or null: nullopt
  std::optional<std::string> string(const char* key) const;            // absent or null: nullopt
  const std::string& subject() const { return subject_; }
  const std::string& where() const { return where_; }

 private:
  [[noreturn]] void wrong(const char* key, const Json& value, const std::string& expected) const;
  const Json& object_;
  std::string where_, subject_;
};

}  // namespace teeny
