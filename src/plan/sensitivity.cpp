#include "teeny/plan/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny {
namespace {

constexpr const char* kSchema = "teeny.sensitivity/1";
constexpr const char* kWhere = "sensitivity";
constexpr uint64_t kMostBytes = 256ull << 20;

// Typed access to one object of the file, with errors that say where it stands.
class Fields {
 public:
  Fields(const Json& json, std::string subject) : json_(json), subject_(std::move(subject)) {
    if (!json.is_object()) throw input_error(kWhere, subject_, "is no object");
  }
  const Json& at(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) throw input_error(kWhere, subject_, "has no \"{}\"; measure again with --save-sensitivity", key);
    return *found;
  }
  std::string text(const char* key) const {
    if (!at(key).is_string()) throw input_error(kWhere, subject_, "\"{}\" must be a string", key);
    return at(key).get<std::string>();
  }
  bool flag(const char* key) const {
    if (!at(key).is_boolean()) throw input_error(kWhere, subject_, "\"{}\" must be true or false", key);
    return at(key).get<bool>();
  }
  double number(const char* key, double low = 0) const {
    const double value = at(key).is_number() ? at(key).get<double>() : NAN;
    if (!std::isfinite(value) || value < low) throw input_error(kWhere, subject_, "\"{}\" must be a number of at least {}", key, low);
    return value;
  }
  int64_t count(const char* key) const {
    const Json& value = at(key);
    if (!value.is_number_integer() || value.get<double>() < 0 || value.get<double>() > 9e18) throw input_error(kWhere, subject_, "\"{}\" must be a whole number", key);
    return value.get<int64_t>();
  }
  const Json& list(const char* key) const {
    if (!at(key).is_array()) throw input_error(kWhere, subject_, "\"{}\" must be a list", key);
    return at(key);
  }

 private:
  const Json& json_;
  std::string subject_;
};

CandidateLoss read_candidate(const Json& json, const std::string& subject) {
  const Fields fields(json, subject);
  CandidateLoss c;
  c.label = fields.text("encoding");
  c.bits_per_weight = fields.number("bits_per_weight");
  c.kld = fields.number("kld");
  c.output_error = fields.number("output_error");
  c.measured = fields.flag("measured");
  c.importance = fields.flag("importance");
  return c;
}

SensitivityGroup read_group(const Json& json, const std::string& subject) {
  const Fields fields(json, subject);
  SensitivityGroup group;
  group.name = fields.text("name");
  for (const auto& module : fields.list("tensors")) {
    if (!module.is_string()) throw input_error(kWhere, subject, "\"tensors\" must hold names");
    group.modules.push_back(module.get<std::string>());
  }
  const Json& candidates = fields.list("candidates");
  std::set<std::string> labels;
  for (size_t i = 0; i < candidates.size(); ++i) {
    group.candidates.push_back(read_candidate(candidates[i], fmt::format("{}: candidate {}", subject, i + 1)));
    if (!labels.insert(group.candidates.back().label).second)
      throw input_error(kWhere, subject, "has the encoding \"{}\" twice", printable(group.candidates.back().label));
  }
  if (group.modules.empty() || group.candidates.empty()) throw input_error(kWhere, subject, "has no tensors or no candidates");
  return group;
}

}  // namespace

double Sensitivity::total(double sum) const {
  std::vector<std::pair<double, double>> points;  // log predicted, log of measured / predicted
  for (const auto& check : checks)
    if (check.predicted > 0 && check.measured > 0) points.emplace_back(std::log(check.predicted), std::log(check.measured / check.predicted));
  if (points.empty() || !(sum > 0)) return sum;
  std::sort(points.begin(), points.end());
  const double x = std::log(sum);
  const auto above = std::find_if(points.begin(), points.end(), [&](const auto& p) { return p.first >= x; });
  if (above == points.begin()) return sum * std::exp(above->second);
  if (above == points.end()) return sum * std::exp(points.back().second);
  const auto below = above - 1;
  const double t = (x - below->first) / std::max(above->first - below->first, 1e-12);
  return sum * std::exp(below->second + t * (above->second - below->second));
}

std::string weights_fingerprint(const TensorSource& source) {
  if (source.tensors().empty()) return "";
  std::string text;
  std::vector<std::byte> head;
  for (const auto& tensor : source.tensors()) {
    text += fmt::format("{}:{}:{}:", tensor.name.size(), tensor.name, name_of(tensor.dtype));
    for (const int64_t n : tensor.shape) text += fmt::format("{},", n);
    head.resize(size_t(std::min<uint64_t>(tensor.bytes, 4096)));
    source.read(tensor, head);
    text.append(reinterpret_cast<const char*>(head.data()), head.size());
  }
  return sha256_hex(text);
}

Json sensitivity_json(const Sensitivity& s) {
  Json groups = Json::array(), checks = Json::array();
  for (const auto& group : s.groups) {
    Json candidates = Json::array();
    for (const auto& c : group.candidates)
      candidates.push_back({{"encoding", c.label}, {"bits_per_weight", c.bits_per_weight}, {"kld", c.kld}, {"output_error", c.output_error}, {"measured", c.measured}, {"importance", c.importance}});
    groups.push_back({{"name", group.name}, {"tensors", group.modules}, {"candidates", std::move(candidates)}});
  }
  for (const auto& c : s.checks)
    checks.push_back({{"encoding", c.label}, {"predicted_kld", c.predicted}, {"measured_kld", c.measured}, {"perplexity_increase", c.perplexity_increase}});
  return {{"schema", kSchema},
          {"model", {{"name", s.name}, {"fingerprint", s.fingerprint}, {"parameters", s.parameters}}},
          {"method", s.method},
          {"format", s.format},
          {"calibration", s.calibration},
          {"held_back", {{"windows", s.windows}, {"tokens", s.tokens}}},
          {"groups", std::move(groups)},
          {"checks", std::move(checks)}};
}

Sensitivity parse_sensitivity(std::string_view text, std::string_view subject_view) {
  const std::string subject(subject_view);
  const Json json = parse_json(text, kWhere, subject);
  const Fields top(json, subject);
  if (const std::string schema = top.text("schema"); schema != kSchema)
    throw input_error(kWhere, subject, "has the schema \"{}\", this version reads {}; measure again with --save-sensitivity", printable(schema), kSchema);
  Sensitivity s;
  const Fields model(top.at("model"), subject + ": model"), held(top.at("held_back"), subject + ": held_back");
  s.name = model.text("name"), s.fingerprint = model.text("fingerprint"), s.parameters = model.count("parameters");
  s.method = top.text("method"), s.format = top.text("format");
  s.calibration = top.at("calibration");
  s.windows = held.count("windows"), s.tokens = held.count("tokens");
  const Json& groups = top.list("groups");
  std::set<std::string> seen;
  for (size_t i = 0; i < groups.size(); ++i) {
    s.groups.push_back(read_group(groups[i], fmt::format("{}: group {}", subject, i + 1)));
    for (const auto& module : s.groups.back().modules)
      if (!seen.insert(module).second) throw input_error(kWhere, subject, "names {} twice", printable(module));
  }
  if (s.groups.empty()) throw input_error(kWhere, subject, "has no groups");
  const Json& checks = top.list("checks");
  for (size_t i = 0; i < checks.size(); ++i) {
    const Fields fields(checks[i], fmt::format("{}: check {}", subject, i + 1));
    s.checks.push_back({fields.text("encoding"), fields.number("predicted_kld"), fields.number("measured_kld"), fields.number("perplexity_increase", -1)});
  }
  return s;
}

Sensitivity read_sensitivity(const std::string& path) { return parse_sensitivity(read_file(path, kMostBytes), path); }

}  // namespace teeny
