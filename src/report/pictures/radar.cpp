// Methods (or bit widths, models, machines) compared on all axes at once.
#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <set>

#include "report/format.h"
#include "report/pictures/picture.h"
#include "teeny/core/file.h"

namespace teeny::report {
namespace {
constexpr size_t kMostPolygons = 6;
constexpr double kInner = 0.2;  // where the worst value stands

struct Spoke {
  std::string name;
  std::vector<Maybe> values;  // one a polygon
  bool low_is_good = false, logarithmic = false;
  std::function<std::string(double)> show = [](double v) { return decimals(v); };
};

// The bit width that most series have, so that methods are compared at equal bits.
double common_bits(const ReportData& data) {
  std::map<double, std::set<std::string>> by_bits;
  for (const auto& v : data.variants)
    if (!v.is_reference && v.bits) by_bits[*v.bits].insert(v.series);
  double best = 4;
  size_t most = 0;
  for (const auto& [bits, series] : by_bits)
    if (series.size() > most) most = series.size(), best = bits;
  return best;
}

std::string common_method(const ReportData& data) {
  std::map<std::string, std::set<double>> widths;
  for (const auto& v : data.variants)
    if (!v.is_reference && v.bits) widths[v.method].insert(*v.bits);
  const auto most = std::max_element(widths.begin(), widths.end(), [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  return most == widths.end() ? "" : most->first;
}

std::vector<const Variant*> representatives(const ReportData& data) {
  const double bits = common_bits(data);
  const std::string method = common_method(data);
  std::vector<const Variant*> out;
  for (const auto& series : data.series) {
    const Variant* best = nullptr;
    const auto cost = [&](const Variant& v) {
      const double off = data.comparison == Comparison::Bits ? double(v.method != method) : std::abs(v.bits.value_or(99) - bits);
      return off * 1e6 + (v.kld() ? *v.kld()->value : 1e5);
    };
    for (const auto& v : data.variants)
      if (v.series == series && !v.is_reference && (!best || cost(v) < cost(*best))) best = &v;
    if (best && out.size() < kMostPolygons) out.push_back(best);
  }
  return out;
}

template <class Get>
void add_spoke(std::vector<Spoke>& spokes, const std::vector<const Variant*>& shown, Spoke spoke, Get get) {
  size_t known = 0;
  for (const auto* v : shown) spoke.values.push_back(get(*v)), known += spoke.values.back().has_value();
  if (known >= 2) spokes.push_back(std::move(spoke));
}

std::vector<Spoke> spokes_of(const ReportData& data, const std::vector<const Variant*>& shown) {
  std::vector<Spoke> out;
  const auto bytes = [](double v) { return human_bytes(uint64_t(v)); };
  add_spoke(out, shown, {"Size", {}, true, false, bytes}, [](const Variant& v) { return v.bytes; });
  add_spoke(out, shown, {"Peak memory", {}, true, false, bytes}, [](const Variant& v) { return v.peak_memory; });
  for (auto phase : {Phase::Prefill, Phase::Decode})
    add_spoke(out, shown, {phase == Phase::Prefill ? "Prefill" : "Decode", {}, false, false, [](double v) { return decimals(v); }}, [phase](const Variant& v) { return v.speed(phase) ? v.speed(phase)->median : Maybe(); });
  if (!data.code_tasks.empty()) {
    const auto& task = data.code_tasks.front();
    add_spoke(out, shown, {task, {}, false, false, [](double v) { return percent(v); }}, [&](const Variant& v) { return v.task(task) ? v.task(task)->value : Maybe(); });
  }
  add_spoke(out, shown, {"Perplexity", {}, true, true, [](double v) { return decimals(v, 4); }}, [](const Variant& v) { return v.perplexity() ? v.perplexity()->value : Maybe(); });
  add_spoke(out, shown, {"KL divergence", {}, true, true, nats}, [](const Variant& v) { return v.kld() ? v.kld()->value : Maybe(); });
  return out;
}

double place(const Spoke& s, double value) {
  double low = 1e300, high = -1e300;
  const auto scaled = [&](double v) { return s.logarithmic ? std::log(std::max(v, 1e-9)) : v; };
  for (const auto& v : s.values)
    if (v) low = std::min(low, scaled(*v)), high = std::max(high, scaled(*v));
  if (high - low < 1e-12) return 1;
  const double t = (scaled(value) - low) / (high - low);
  return kInner + (1 - kInner) * (s.low_is_good ? 1 - t : t);
}

std::string range_of(const Spoke& s) {
  double low = 1e300, high = -1e300;
  for (const auto& v : s.values)
    if (v) low = std::min(low, *v), high = std::max(high, *v);
  if (low == high) return s.show(low);
  return s.low_is_good ? s.show(high) + " \u2192 " + s.show(low) : s.show(low) + " \u2192 " + s.show(high);
}

void draw(Scene& scene, const ReportData& data, const std::vector<const Variant*>& shown, const std::vector<Spoke>& spokes, Point c, double radius) {
  const auto at = [&](size_t i, double r) {
    const double angle = 2 * std::numbers::pi * double(i) / double(spokes.size()) - std::numbers::pi / 2;
    return Point{c.x + radius * r * std::cos(angle), c.y + radius * r * std::sin(angle)};
  };
  for (double ring : {kInner, 0.6, 1.0}) {
    std::vector<Point> points;
    for (size_t i = 0; i <= spokes.size(); ++i) points.push_back(at(i % spokes.size(), ring));
    scene.polyline(points, Role::Grid, 1);
  }
  for (size_t i = 0; i < spokes.size(); ++i) {
    scene.line(c, at(i, 1), Role::Grid);
    Point p = at(i, 1.13);
    const Anchor anchor = std::abs(p.x - c.x) < radius * 0.25 ? Anchor::Middle : p.x > c.x ? Anchor::Start : Anchor::End;
    if (p.y < c.y - radius * 0.9) p.y -= 12;
    const double room = anchor == Anchor::Middle ? scene.width() : anchor == Anchor::Start ? scene.width() - p.x : p.x;
    scene.text({p.x, p.y}, fit_text(spokes[i].name, 12, room), 12, Role::Text, anchor).bold = true;
    scene.text({p.x, p.y + 15}, fit_text(range_of(spokes[i]), 11, room), 11, Role::Muted, anchor);
  }
  for (size_t k = 0; k < shown.size(); ++k) {
    const Role role = series_role(data, shown[k]->series);
    std::vector<Point> points;
    for (size_t i = 0; i < spokes.size(); ++i)
      if (spokes[i].values[k]) points.push_back(at(i, place(spokes[i], *spokes[i].values[k])));
    if (points.size() < 3) continue;
    Shape& s = scene.polygon(points, role);
    s.opacity = 0.07, s.stroke = role, s.stroke_width = 2, s.tip = shown[k]->label;
    for (size_t i = 0; i < spokes.size(); ++i)
      if (spokes[i].values[k]) scene.marker(series_index(data, shown[k]->series), at(i, place(spokes[i], *spokes[i].values[k])), 3.6, role).tip =
          fmt::format("{}: {} {}", shown[k]->label, spokes[i].name, spokes[i].show(*spokes[i].values[k]));
  }
}
}  // namespace

Picture radar(const ReportData& data, double width) {
  const char* what[] = {"Methods compared", "Bit widths compared", "Models compared", "Hardware compared"};
  Picture out{what[size_t(data.comparison)], "", std::nullopt, ""};
  const auto shown = representatives(data);
  const auto spokes = spokes_of(data, shown);
  if (shown.size() < 2 || spokes.size() < 3) {
    out.missing = "it needs two series with three measured properties each";
    return out;
  }
  const bool small = narrow(width);
  Scene scene(width, small ? 380 : 420);
  std::vector<std::pair<Role, std::string>> entries;
  for (const auto* v : shown) entries.emplace_back(series_role(data, v->series), v->label);
  const double top = draw_legend(scene, entries, 4, 2, true);
  const double radius = std::min((scene.height() - top - 96) / 2, small ? 84.0 : 138.0);
  draw(scene, data, shown, spokes, {width / 2, top + (scene.height() - top) / 2 + 4}, radius);
  out.scene = std::move(scene);
  out.caption = "One variant of each series, at the most common bit width where there is one. Every axis runs from the worst of those shown (inner ring) to the best (rim), in the range "
                "written under its name (speeds in tokens/s): small differences are stretched, the table has the values. " + from_records(data, "quantize, bench and eval", shown.size());
  return out;
}

}  // namespace teeny::report
