// Which modules a target of a quantization config names. Patterns come from files: their length is bounded, and matching
// takes polynomial time where the standard library offers it.
#include <algorithm>
#include <regex>

#include "family/family.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

constexpr size_t kMaxPattern = 512, kMaxName = 256;

std::regex compile(const std::string& pattern) {
  auto flags = std::regex::ECMAScript;
#ifdef __GLIBCXX__
  flags |= std::regex_constants::__polynomial;
#endif
  if (pattern.size() > kMaxPattern) throw input_error("quantization", "target " + printable(pattern, 40), "is a pattern of {} characters; at most {} are read", pattern.size(), kMaxPattern);
  try {
    return std::regex(pattern, flags);
  } catch (const std::regex_error& error) {
    throw input_error("quantization", "target re:" + printable(pattern), "is no regular expression that can be read: {}", error.what());
  }
}

// Python's re.match: from the start, not to the end.
bool matches_pattern(const std::string& pattern, const std::string& name) {
  const std::regex regex = compile(pattern);
  if (name.size() > kMaxName) return false;
  try {
    return std::regex_search(name, regex, std::regex_constants::match_continuous);
  } catch (const std::regex_error& error) {
    throw input_error("quantization", "target re:" + printable(pattern), "cannot be matched: {}", error.what());
  }
}

bool is_pattern(const std::string& target) { return target.starts_with("re:"); }

bool is_class_of(const std::string& target, const std::string& module) {
  return target == (module.ends_with("embed_tokens") ? "Embedding" : "Linear") || target == "Module";
}

bool names(const std::string& target, const std::string& module) {
  return is_pattern(target) ? matches_pattern(target.substr(3), module) : target == module;
}

// As compressed-tensors ranks them: a name, then patterns in alphabetical order, then classes.
const QuantScheme* by_rank(const QuantConfig& quant, const std::string& module) {
  const QuantScheme* best = nullptr;
  const std::string* pattern = nullptr;
  int rank = 0;
  for (const auto& scheme : quant.schemes)
    for (const auto& target : scheme.targets) {
      const int now = target == module ? 3 : is_pattern(target) ? 2 : 1;
      if (now < rank || (now == rank && (now != 2 || target >= *pattern))) continue;
      if (now == 1 ? !is_class_of(target, module) : !names(target, module)) continue;
      best = &scheme, rank = now, pattern = &target;
    }
  return best;
}

}  // namespace

std::optional<QuantScheme> scheme_of(const QuantConfig& quant, const std::string& module) {
  for (const auto& target : quant.ignore)
    if (names(target, module) || (quant.method == "compressed-tensors" && is_class_of(target, module))) return std::nullopt;
  if (quant.method == "compressed-tensors") {
    const auto* scheme = by_rank(quant, module);
    return scheme ? std::optional(*scheme) : std::nullopt;
  }
  for (const auto& scheme : quant.schemes)  // GPTQ's `dynamic`: the first that matches
    if (std::any_of(scheme.targets.begin(), scheme.targets.end(), [&](const auto& target) { return names(target, module); })) return scheme;
  QuantScheme common;
  common.format = quant.format, common.bits = quant.bits, common.group = quant.group, common.symmetric = quant.symmetric, common.desc_act = quant.desc_act;
  return common;
}

}  // namespace teeny
