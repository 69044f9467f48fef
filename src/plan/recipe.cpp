#include "plan/recipe.h"

#include <algorithm>

#include "teeny/core/error.h"
#include "teeny/core/json.h"

namespace teeny {
namespace {

template <class T, class Check>
T field(const Json& value, const std::string& subject, const char* key, const char* wanted, const Check& check) {
  if (!check(value)) throw input_error("recipe", subject, "\"{}\" must be {}", key, wanted);
  return value.get<T>();
}

Rule read_rule(const Json& json, const std::string& subject) {
  if (!json.is_object()) throw input_error("recipe", subject, "is no object");
  Rule rule;
  const auto text = [](const Json& v) { return v.is_string(); };
  const auto flag = [](const Json& v) { return v.is_boolean(); };
  const auto whole = [](const Json& v) { return v.is_number_integer() && v.get<double>() >= -1 && v.get<double>() <= 1 << 20; };
  for (const auto& [key, value] : json.items()) {
    if (key == "match") rule.match = field<std::string>(value, subject, "match", "a string", text);
    else if (key == "method") rule.method = field<std::string>(value, subject, "method", "a string", text);
    else if (key == "type") rule.type = field<std::string>(value, subject, "type", "a string", text);
    else if (key == "bits") rule.bits = field<int>(value, subject, "bits", "a whole number", whole);
    else if (key == "group") rule.group = field<int64_t>(value, subject, "group", "a whole number, -1 for one scale a row", whole);
    else if (key == "sym") rule.symmetric = field<bool>(value, subject, "sym", "true or false", flag);
    else if (key == "skip") rule.skip = field<bool>(value, subject, "skip", "true or false", flag);
    else throw input_error("recipe", subject, "has the unknown key \"{}\"; known are match, method, bits, group, sym, type, skip", printable(key));
  }
  if (rule.match.empty()) throw input_error("recipe", subject, "has no \"match\"");
  if (rule.group && *rule.group == 0) throw input_error("recipe", subject, "\"group\" is 0; give a size, or -1 for one scale a row");
  return rule;
}

EncodingSpec ggml_of(const Rule& rule, const std::string& subject) {
  std::string name = rule.type;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return char(std::toupper(c)); });
  const auto dtype = dtype_from_name(name);
  if (!dtype || traits(*dtype).ggml_type < 0)
    throw input_error("recipe", subject, "type \"{}\" is no type of a GGUF tensor; use Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL, IQ4_XS, F16, BF16 or F32",
                      printable(rule.type));
  EncodingSpec spec;
  spec.dtype = *dtype;
  spec.kind = traits(*dtype).scalar() ? EncodingKind::Plain : EncodingKind::Ggml;
  return spec;
}

}  // namespace

bool matches(std::string_view pattern, std::string_view name) {
  size_t p = 0, n = 0, star = std::string_view::npos, resume = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++, resume = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p, ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1, n = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<Rule> read_recipe(const std::string& path) {
  if (path.empty()) return {};
  const Json json = read_json_file(path, "recipe", 16 << 20);
  const auto rules = json.is_object() ? json.find("rules") : json.end();
  if (!json.is_object() || rules == json.end() || !rules->is_array() || json.size() != 1)
    throw input_error("recipe", path, "is not of the form {}", R"({"rules": [{"match": "*.down_proj", "bits": 8}]})");
  std::vector<Rule> out;
  for (size_t i = 0; i < rules->size(); ++i) out.push_back(read_rule((*rules)[i], fmt::format("{}: rule {}", path, i + 1)));
  return out;
}

const Rule* find_rule(const std::vector<Rule>& rules, std::string_view module) {
  const auto at = std::find_if(rules.begin(), rules.end(), [&](const Rule& rule) { return matches(rule.match, module); });
  return at == rules.end() ? nullptr : &*at;
}

EncodingSpec apply_rule(const Rule& rule, EncodingSpec spec, const std::string& format, const std::string& module) {
  const std::string subject = fmt::format("rule \"{}\" for {}", printable(rule.match), module);
  if (format == "gguf") {
    if (rule.bits || rule.group || rule.symmetric) throw usage_error("recipe", subject, "has bits, group or sym, but GGUF weights have types; use \"type\"");
    return rule.type.empty() ? spec : ggml_of(rule, subject);
  }
  if (!rule.type.empty()) throw usage_error("recipe", subject, "has a GGUF type, but --format {} has bits, group and sym", format);
  const std::vector<int> bits = format.starts_with("gptq") ? std::vector<int>{2, 3, 4, 8} : format == "compressed-tensors" ? std::vector<int>{4, 8} : std::vector<int>{spec.bits};
  if (rule.bits && std::find(bits.begin(), bits.end(), *rule.bits) == bits.end())
    throw usage_error("recipe", subject, "wants {} bits; --format {} holds {}", *rule.bits, format, fmt::join(bits, ", "));
  if (format == "awq" && (rule.group || rule.symmetric)) throw usage_error("recipe", subject, "changes group or sym, but an AWQ checkpoint has one of each; use --format gptq");
  if (format == "bitsandbytes" && (rule.group || rule.symmetric)) throw usage_error("recipe", subject, "changes group or sym, but LLM.int8 has neither");
  spec.bits = rule.bits.value_or(spec.bits);
  spec.group = rule.group.value_or(spec.group);
  spec.symmetric = rule.symmetric.value_or(spec.symmetric);
  return spec;
}

void check_fused(const Plan& plan) {
  if (plan.container == ContainerKind::Gguf) return;
  const auto encoding = [&](const std::string& module) -> const EncodingSpec& {
    return std::find_if(plan.tensors.begin(), plan.tensors.end(), [&](const auto& t) { return t.module == module; })->encoding;
  };
  for (int64_t layer = 0; layer < plan.spec.layers; ++layer)
    for (size_t i = 1; i < std::size(kLinears); ++i) {
      if (kLinears[i].input != kLinears[i - 1].input) continue;
      const std::string a = layer_prefix(layer) + kLinears[i - 1].module, b = layer_prefix(layer) + kLinears[i].module;
      if (!(encoding(a) == encoding(b)))
        throw usage_error("recipe", b, "would be {}, {} {}: runtimes fuse the two, so they must be alike; match both with one rule", encoding(b).name(), a, encoding(a).name());
    }
}

}  // namespace teeny
