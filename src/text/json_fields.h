// Members of a tokenizer.json, with errors that name the file.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "teeny/core/error.h"
#include "teeny/core/json.h"

namespace teeny {

class JsonFields {
 public:
  static constexpr int64_t kMaxId = 1 << 22;
  explicit JsonFields(std::string_view subject) : subject_(subject) {}

  template <class... A>
  [[noreturn]] void fail(fmt::format_string<A...> format, A&&... args) const {
    throw input_error("tokenizer", subject_, format, std::forward<A>(args)...);
  }
  [[noreturn]] void refuse(std::string_view what, std::string_view name, std::string_view known) const {
    fail("{} \"{}\" is not supported; known: {}", what, name, known);
  }
  // The member, or null when absent. Values of the wrong type are found by whoever uses them.
  static const Json& member(const Json& object, const char* key) {
    static const Json null;
    if (!object.is_object()) return null;
    const auto it = object.find(key);
    return it == object.end() ? null : *it;
  }
  static std::string dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }
  std::string type_of(const Json& part, std::string_view what) const {
    if (part.is_null()) return "null";
    return text(member(part, "type"), fmt::format("{}.type", what));
  }
  std::string text(const Json& value, std::string_view what) const {
    if (!value.is_string()) fail("{} is a JSON {}, expected a string", what, value.type_name());
    return value.get<std::string>();
  }
  bool flag(const Json& object, const char* key, bool absent) const {
    const Json& value = member(object, key);
    if (value.is_null()) return absent;
    if (!value.is_boolean()) fail("{} is a JSON {}, expected true or false", key, value.type_name());
    return value.get<bool>();
  }
  int32_t id(const Json& value, std::string_view token) const {
    const bool integer = value.is_number_integer() && !(value.is_number_unsigned() && value.get<uint64_t>() >= uint64_t(kMaxId));
    if (!integer || value.get<int64_t>() < 0 || value.get<int64_t>() >= kMaxId)
      fail("token \"{}\" has id {}, expected an integer in [0, {})", token, dump(value), kMaxId);
    return value.get<int32_t>();
  }
  // A Sequence's members, or the part itself; null gives none.
  std::vector<const Json*> parts_of(const Json& part, const char* key, std::string_view what) const {
    if (part.is_null()) return {};
    if (type_of(part, what) != "Sequence") return {&part};
    const Json& list = member(part, key);
    if (!list.is_array()) fail("{}.{} is a JSON {}, expected an array", what, key, list.type_name());
    std::vector<const Json*> parts;
    for (const Json& entry : list) parts.push_back(&entry);
    return parts;
  }

 private:
  std::string_view subject_;
};

}  // namespace teeny
