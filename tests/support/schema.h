// A validator for the part of JSON Schema (2020-12) that docs/result.schema.json uses: $ref to #/$defs, type, const, enum,
// required, properties, additionalProperties, items, minItems, maxItems, minimum, maximum, pattern, oneOf, anyOf.
// An unknown keyword is an error, so that a schema cannot silently check less than it says.
#pragma once
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "teeny/core/file.h"
#include "teeny/core/json.h"

namespace teeny::testing {

class Schema {
 public:
  explicit Schema(Json schema) : root_(std::move(schema)) {}
  static Schema results() { return Schema(read_json_file(std::string(TEENY_TEST_SOURCE_DIR) + "/docs/result.schema.json", "test")); }

  // Every violation as "place: what"; empty: valid.
  std::vector<std::string> errors(const Json& value) const {
    std::vector<std::string> out;
    check(root_, value, "$", out);
    return out;
  }
  // The first few violations on lines of their own, for EXPECT_EQ(schema.explain(record), "").
  std::string explain(const Json& value) const {
    std::string out;
    const auto all = errors(value);
    for (size_t i = 0; i < all.size() && i < 8; ++i) out += all[i] + "\n";
    return out;
  }

 private:
  using Errors = std::vector<std::string>;

  static std::string brief(const Json& value) {
    std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    return text.size() > 70 ? text.substr(0, 67) + "..." : text;
  }

  static bool is_type(const Json& v, const std::string& type) {
    if (type == "integer") return v.is_number_integer() || (v.is_number_float() && v.get<double>() == double(int64_t(v.get<double>())));
    if (type == "number") return v.is_number();
    if (type == "string") return v.is_string();
    if (type == "boolean") return v.is_boolean();
    if (type == "array") return v.is_array();
    if (type == "object") return v.is_object();
    if (type == "null") return v.is_null();
    return false;
  }

  const Json& resolve(const Json& schema) const {
    const std::string ref = schema.at("$ref");
    return root_.at(Json::json_pointer(ref.substr(1)));
  }

  void check(const Json& schema, const Json& v, const std::string& at, Errors& out) const {
    if (schema.is_boolean()) {
      if (!schema.get<bool>()) out.push_back(at + ": is not allowed here");
      return;
    }
    static const std::set<std::string> known{"$schema", "$id", "$defs", "title", "description", "$comment", "$ref", "type", "const", "enum", "required",
                                             "properties", "additionalProperties", "items", "minItems", "maxItems", "minimum", "maximum", "pattern",
                                             "oneOf", "anyOf"};
    for (const auto& [key, unused] : schema.items())
      if (!known.contains(key)) out.push_back(at + ": the schema uses the unknown keyword " + key);
    if (schema.contains("$ref")) check(resolve(schema), v, at, out);
    scalars(schema, v, at, out);
    if (v.is_object()) object(schema, v, at, out);
    if (v.is_array()) array(schema, v, at, out);
    for (const char* key : {"oneOf", "anyOf"})
      if (schema.contains(key)) alternatives(schema[key], v, at, key == std::string("oneOf"), out);
  }

  void scalars(const Json& schema, const Json& v, const std::string& at, Errors& out) const {
    if (const auto t = schema.find("type"); t != schema.end()) {
      bool good = false;
      for (const auto& name : t->is_array() ? *t : Json::array({*t})) good = good || is_type(v, name);
      if (!good) out.push_back(at + ": is " + brief(v) + ", expected type " + t->dump());
    }
    if (const auto c = schema.find("const"); c != schema.end() && *c != v) out.push_back(at + ": is " + brief(v) + ", expected " + c->dump());
    if (const auto e = schema.find("enum"); e != schema.end()) {
      bool good = false;
      for (const auto& one : *e) good = good || one == v;
      if (!good) out.push_back(at + ": is " + brief(v) + ", expected one of " + e->dump());
    }
    if (v.is_number()) {
      const double x = v.get<double>();
      if (schema.contains("minimum") && x < schema["minimum"].get<double>()) out.push_back(at + ": is " + brief(v) + ", below the minimum");
      if (schema.contains("maximum") && x > schema["maximum"].get<double>()) out.push_back(at + ": is " + brief(v) + ", above the maximum");
    }
    if (v.is_string() && schema.contains("pattern") && !std::regex_search(v.get<std::string>(), std::regex(schema["pattern"].get<std::string>())))
      out.push_back(at + ": is " + brief(v) + ", which does not match " + schema["pattern"].dump());
  }

  void object(const Json& schema, const Json& v, const std::string& at, Errors& out) const {
    for (const auto& name : schema.value("required", Json::array()))
      if (!v.contains(name.get<std::string>())) out.push_back(at + ": lacks \"" + name.get<std::string>() + "\"");
    static const Json nothing = Json::object();
    const auto p = schema.find("properties");
    const Json& properties = p == schema.end() ? nothing : *p;
    const auto extra = schema.find("additionalProperties");
    for (const auto& [key, value] : v.items()) {
      if (properties.contains(key))
        check(properties[key], value, at + "." + key, out);
      else if (extra != schema.end() && *extra == false)
        out.push_back(at + ": has \"" + key + "\", which the schema does not name");
      else if (extra != schema.end())
        check(*extra, value, at + "." + key, out);
    }
  }

  void array(const Json& schema, const Json& v, const std::string& at, Errors& out) const {
    if (schema.contains("minItems") && v.size() < schema["minItems"].get<size_t>()) out.push_back(at + ": has too few items");
    if (schema.contains("maxItems") && v.size() > schema["maxItems"].get<size_t>()) out.push_back(at + ": has too many items");
    if (!schema.contains("items")) return;
    for (size_t i = 0; i < v.size(); ++i) check(schema["items"], v[i], at + "[" + std::to_string(i) + "]", out);
  }

  // On failure the errors of the nearest alternative are shown: the one with the same "command", else the one with fewest errors.
  void alternatives(const Json& list, const Json& v, const std::string& at, bool exactly_one, Errors& out) const {
    size_t matches = 0;
    Errors nearest;
    bool by_command = false;
    for (const auto& schema : list) {
      Errors errors;
      check(schema, v, at, errors);
      if (errors.empty()) ++matches;
      const Json& target = schema.contains("$ref") ? resolve(schema) : schema;
      const auto command = Json::json_pointer("/properties/command/const");
      const bool same = v.is_object() && v.contains("command") && target.contains(command) && target[command] == v["command"];
      if (same || (!by_command && (nearest.empty() || errors.size() < nearest.size()))) nearest = errors;
      by_command = by_command || same;
    }
    if (matches == 0) out.insert(out.end(), nearest.begin(), nearest.end());
    if (exactly_one && matches > 1) out.push_back(at + ": matches " + std::to_string(matches) + " alternatives, expected exactly one");
  }

  Json root_;
};

}  // namespace teeny::testing
