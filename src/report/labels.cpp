// The order of variants, the short name each is shown by, and the series that it belongs to.
#include <algorithm>
#include <set>

#include "report/data.h"
#include "report/format.h"

namespace teeny::report {
namespace {

std::string shown_method(const Variant& v) {
  struct Name {
    const char *method, *shown;
  };
  constexpr Name names[] = {{"gptq", "GPTQ"}, {"awq", "AWQ"}, {"rtn", "RTN"}, {"int8", "INT8"}, {"gguf", "GGUF"}, {"fp16", "FP16"}, {"bf16", "BF16"}};
  if (v.method.empty()) return "Original";
  for (const auto& n : names)
    if (v.method == n.method) return n.shown;
  return clip_text(v.method, 20);
}

std::string base_label(const Variant& v) {
  if (v.method.empty() || v.is_reference) {
    if (!v.type.empty()) return "Original " + clip_text(v.type, 12);
    return v.bits ? fmt::format("Original {:g}-bit", *v.bits) : "Original";
  }
  if (!v.type.empty()) return clip_text(v.type, 24);
  const std::string activations = v.act_bits ? fmt::format(" W{:g}A{:g}", v.bits.value_or(0), *v.act_bits) : "";
  if (!activations.empty()) return shown_method(v) + activations;
  const bool said = v.method == "int8" || v.method == "fp16" || v.method == "bf16";
  return said || !v.bits ? shown_method(v) : fmt::format("{} {:g}-bit", shown_method(v), *v.bits);
}

// Adds one distinguishing detail after another to those labels that still stand twice.
void make_unique(std::vector<Variant>& variants) {
  using Detail = std::string (*)(const Variant&);
  constexpr Detail details[] = {
      [](const Variant& v) { return v.group.empty() ? std::string() : "g" + v.group; },
      [](const Variant& v) { return v.symmetry; },
      [](const Variant& v) { return clip_text(v.format, 20); },
      [](const Variant& v) { return v.bits_per_weight ? fmt::format("{:.2f} bpw", *v.bits_per_weight) : std::string(); },
      [](const Variant& v) { return clip_text(v.name, 32); },
      [](const Variant& v) { return clip_text(v.path, 48); },
  };
  const auto repeated = [&] {
    std::map<std::string, int> counts;
    for (const auto& v : variants) ++counts[v.label];
    return counts;
  };
  for (const auto& detail : details) {
    const auto counts = repeated();
    std::map<std::string, std::set<std::string>> values;  // a detail equal in all doubles tells nothing
    for (const auto& v : variants) values[v.label].insert(detail(v));
    std::vector<std::string> labels;
    for (const auto& v : variants) {
      const std::string word = counts.at(v.label) > 1 && values[v.label].size() > 1 ? detail(v) : "";
      labels.push_back(word.empty() ? v.label : v.label + " " + word);
    }
    for (size_t i = 0; i < variants.size(); ++i) variants[i].label = labels[i];
  }
  auto counts = repeated();
  std::map<std::string, int> seen;
  for (auto& v : variants)
    if (counts[v.label] > 1) v.label += fmt::format(" #{}", ++seen[v.label]);
}

std::string model_of(const ReportData& data, const Variant& v) {
  if (const Variant* r = data.reference_of(v)) return r->name;
  if (v.is_reference || v.method.empty()) return v.name;
  return v.parameters ? fmt::format("{} {}", v.family, short_count(double(v.parameters))) : v.family.empty() ? v.name : v.family;
}

std::string series_of(const ReportData& data, const Variant& v) {
  switch (data.comparison) {
    case Comparison::Methods: return v.is_reference ? "Original" : shown_method(v);
    case Comparison::Bits: return v.is_reference ? "Original" : v.bits ? fmt::format("{:g}-bit", *v.bits) : "other";
    case Comparison::Models: return clip_text(model_of(data, v), 32);
    case Comparison::Hardware: return v.hardware.empty() ? "not measured" : clip_text(v.hardware, 32);
  }
  return "";
}

// Indices change when variants are sorted: references and tests follow.
void sort_variants(ReportData& data) {
  const size_t n = data.variants.size();
  std::vector<size_t> order(n);
  for (size_t i = 0; i < n; ++i) order[i] = i;
  const bool grouped = data.comparison == Comparison::Models || data.comparison == Comparison::Hardware;
  const auto group = [&](size_t i) { return grouped ? series_of(data, data.variants[i]) : std::string(); };
  std::vector<std::string> groups;
  for (size_t i = 0; i < n; ++i)
    if (std::find(groups.begin(), groups.end(), group(i)) == groups.end()) groups.push_back(group(i));
  const auto rank = [&](size_t i) { return std::find(groups.begin(), groups.end(), group(i)) - groups.begin(); };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const Variant &x = data.variants[a], &y = data.variants[b];
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    if (x.is_reference != y.is_reference) return x.is_reference;
    return x.bits_per_weight.value_or(x.bits.value_or(0)) > y.bits_per_weight.value_or(y.bits.value_or(0));
  });
  std::vector<int> moved(n);
  for (size_t i = 0; i < n; ++i) moved[order[i]] = int(i);
  std::vector<Variant> sorted;
  for (size_t i : order) sorted.push_back(std::move(data.variants[i]));
  data.variants = std::move(sorted);
  for (auto& v : data.variants)
    if (v.reference >= 0) v.reference = moved[size_t(v.reference)];
}
}  // namespace

void name_variants(ReportData& data) {
  sort_variants(data);
  std::set<std::string> models, places;
  for (const auto& v : data.variants) models.insert(model_of(data, v)), places.insert(v.hardware);
  for (auto& v : data.variants) {
    v.series = series_of(data, v);
    v.label = base_label(v);
    if (models.size() > 1) v.label = clip_text(model_of(data, v), 28) + " " + v.label;
    if (data.comparison == Comparison::Hardware && places.size() > 1) v.label += ", " + clip_text(v.hardware, 24);
    if (std::find(data.series.begin(), data.series.end(), v.series) == data.series.end()) data.series.push_back(v.series);
  }
  make_unique(data.variants);
  data.subject = models.size() == 1 ? *models.begin() : fmt::format("{} models", models.size());
}

}  // namespace teeny::report
