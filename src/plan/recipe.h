// Recipes: ordered rules that change the encoding of single weights. {"rules": [{"match": "*.down_proj", "bits": 8}, ...]}
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "teeny/plan/plan.h"

namespace teeny {

struct Rule {
  std::string match;  // of the whole canonical name: * any run of characters, ? one character
  std::string method, type;
  std::optional<int> bits;
  std::optional<int64_t> group;  // -1: one scale a row
  std::optional<bool> symmetric;
  bool skip = false;             // stays as it is
};

// Input error naming the rule for anything unknown in the file. "" has no rules.
std::vector<Rule> read_recipe(const std::string& path);
bool matches(std::string_view pattern, std::string_view name);
const Rule* find_rule(const std::vector<Rule>& rules, std::string_view module);  // the first that matches

// `spec` as the rule wants it in this format. Usage error when the format cannot hold that.
EncodingSpec apply_rule(const Rule& rule, EncodingSpec spec, const std::string& format, const std::string& module);
// Loaders run q, k, v and gate, up as one product each: their encodings must be equal (formats.md 1.4). Not for GGUF.
void check_fused(const Plan& plan);

}  // namespace teeny
