// Bars: every metric of every variant side by side, projected speeds, error categories.
#include <algorithm>
#include <cmath>
#include <map>

#include "report/format.h"
#include "report/pictures/picture.h"
#include "teeny/core/file.h"

namespace teeny::report {
namespace {

struct Metric {
  std::string name, unit;
  std::function<Maybe(const Variant&)> value;
  std::function<std::string(double)> show = [](double v) { return decimals(v); };
  bool logarithmic = false;
  std::function<std::optional<Interval>(const Variant&)> interval = [](const Variant&) { return std::optional<Interval>(); };
};

bool spread_out(const ReportData& data, const Metric& m) {
  double low = 1e300, high = 0;
  for (const auto& v : data.variants)
    if (const auto x = m.value(v); x && *x > 0) low = std::min(low, *x), high = std::max(high, *x);
  return high > 0 && high / low > 40;
}

std::vector<Metric> metrics_of(const ReportData& data) {
  const auto bytes = [](double v) { return human_bytes(uint64_t(v)); };
  std::vector<Metric> all;
  all.push_back({"Size on disk", "less is better", [](const Variant& v) { return v.bytes; }, bytes});
  all.push_back({"Peak memory", "less is better", [](const Variant& v) { return v.peak_memory; }, bytes});
  all.push_back({"Prefill", "tokens/s, more is better", [](const Variant& v) { return v.speed(Phase::Prefill) ? v.speed(Phase::Prefill)->median : Maybe(); }});
  all.push_back({"Decode", "tokens/s, more is better", [](const Variant& v) { return v.speed(Phase::Decode) ? v.speed(Phase::Decode)->median : Maybe(); }});
  all.push_back({"Energy", "joules a token, less is better", [](const Variant& v) { return v.joules_per_token; }});
  all.push_back({"Perplexity", "less is better", [](const Variant& v) { return v.perplexity() ? v.perplexity()->value : Maybe(); }, [](double v) { return decimals(v, 4); }});
  all.push_back({"KL divergence", "nats, less is better", [](const Variant& v) { return v.kld() ? v.kld()->value : Maybe(); }, nats});
  for (const auto& title : data.code_tasks) {
    Metric m{title, "%, more is better", [title](const Variant& v) { return v.task(title) && v.task(title)->value ? Maybe(*v.task(title)->value * 100) : Maybe(); }};
    m.interval = [title](const Variant& v) -> std::optional<Interval> {
      const auto* t = v.task(title);
      if (!t || !t->interval) return std::nullopt;
      return Interval{t->interval->low * 100, t->interval->high * 100};
    };
    all.push_back(std::move(m));
  }
  std::erase_if(all, [&](const Metric& m) { return std::none_of(data.variants.begin(), data.variants.end(), [&](const Variant& v) { return m.value(v).has_value(); }); });
  for (auto& m : all) m.logarithmic = m.name == "KL divergence" && spread_out(data, m);
  return all;
}

constexpr double kRow = 22;

void draw_metric(Scene& scene, const ReportData& data, const Metric& m, double x, double y, double width) {
  scene.text({x, y + 12}, fit_text(m.name, 12.5, width), 12.5, Role::Text).bold = true;
  scene.text({x, y + 27}, fit_text(m.unit + (m.logarithmic ? ", logarithmic" : ""), 11, width), 11, Role::Muted);
  std::vector<double> values;
  double label = 0;
  for (const auto& v : data.variants)
    if (const auto value = m.value(v)) {
      if (!m.logarithmic || *value > 0) values.push_back(*value);
      if (const auto i = m.interval(v)) values.push_back(i->high);
      label = std::max(label, text_width(m.show(*value), 11.5));
    }
  Axis axis = make_axis(values, m.logarithmic, true, 3);
  axis.from = x, axis.to = x + std::max(20.0, width - label - 14);
  if (!m.logarithmic) axis.high = *std::max_element(values.begin(), values.end());
  scene.line({x, y + 36}, {x, y + 38 + kRow * double(data.variants.size())}, Role::Axis);
  double at = y + 38;
  for (const auto& v : data.variants) {
    const auto value = m.value(v);
    const Role role = series_role(data, v.series);
    if (!value) {
      const bool zero = m.name == "KL divergence" && v.is_reference;
      scene.text({x + 6, at + 14}, zero ? "reference" : "\u2013", 11, Role::Muted);
    } else if (m.logarithmic) {
      const double px = *value > 0 ? axis.at(*value) : x;
      scene.line({x, at + kRow / 2}, {px, at + kRow / 2}, Role::Grid, 1.5);
      scene.marker(series_index(data, v.series), {px, at + kRow / 2}, 4.5, role).tip = v.label + ": " + m.show(*value);
      scene.text({px + 9, at + 15}, m.show(*value), 11.5, Role::Text);
    } else {
      const double px = axis.at(*value);
      scene.rect(x, at + 4, px - x, kRow - 8, role, 2).tip = v.label + ": " + m.show(*value);
      double end = px;
      if (const auto i = m.interval(v)) {
        scene.line({axis.at(i->low), at + kRow / 2}, {axis.at(i->high), at + kRow / 2}, Role::Text, 1.2);
        end = std::max(end, axis.at(i->high));
      }
      scene.text({end + 6, at + 15}, m.show(*value), 11.5, Role::Text);
    }
    at += kRow;
  }
}
}  // namespace

Picture metric_bars(const ReportData& data, double width) {
  Picture out{"Every metric side by side", "", std::nullopt, ""};
  const auto metrics = metrics_of(data);
  if (metrics.empty()) {
    out.missing = "no record holds a figure to draw";
    return out;
  }
  double label = 0;
  for (const auto& v : data.variants) label = std::max(label, text_width(v.label, 12));
  label = std::min(label, narrow(width) ? 104.0 : 200.0);
  const size_t columns = narrow(width) ? 1 : std::min<size_t>(metrics.size(), 4), bands = (metrics.size() + columns - 1) / columns;
  const double gap = 22, panel = (width - label - 14 - gap * double(columns - 1)) / double(columns), band = 38 + kRow * double(data.variants.size()) + 22;
  Scene scene(width, band * double(bands));
  for (size_t b = 0; b < bands; ++b) {
    const double y = band * double(b);
    for (size_t i = 0; i < data.variants.size(); ++i)
      scene.text({label + 4, y + 38 + kRow * double(i) + 15}, fit_text(data.variants[i].label, 12, label), 12, Role::Text, Anchor::End);
    for (size_t c = 0; c < columns && b * columns + c < metrics.size(); ++c)
      draw_metric(scene, data, metrics[b * columns + c], label + 14 + double(c) * (panel + gap), y, panel);
  }
  out.scene = std::move(scene);
  out.caption = "Bars start at 0; thin lines are 95 % intervals; a dash means that it was not measured. Speeds are medians, measured" +
                (data.decode_case.empty() ? std::string(".") : ": " + data.decode_case + ".") + " " + from_records(data, "quantize, bench and eval", data.variants.size());
  return out;
}

Picture projected_bars(const ReportData& data, double width) {
  Picture out{"Projected decode speed on other hardware", "", std::nullopt, ""};
  std::map<std::string, std::vector<std::pair<const Variant*, const SpeedCase*>>> places;
  double most = 0, label = 0;
  size_t rows = 0;
  for (const auto& v : data.variants)
    for (const auto& c : v.cases)
      if (c.projected && c.median && c.phase == Phase::Decode) {
        places[c.hardware].emplace_back(&v, &c);
        most = std::max(most, *c.median), label = std::max(label, text_width(v.label, 12)), ++rows;
      }
  if (rows == 0) {
    out.missing = "no record holds a projection (bench --hw NAME makes one)";
    return out;
  }
  label = std::min(label, narrow(width) ? 110.0 : 220.0);
  Scene scene(width, 30 * double(places.size()) + kRow * double(rows) + 8);
  double y = 0;
  for (const auto& [hardware, list] : places) {
    scene.text({0, y + 16}, fit_text(hardware + " (projected), tokens/s", 12.5, width), 12.5, Role::Text).bold = true;
    y += 26;
    for (const auto& [v, c] : list) {
      const double x = label + 14, room = width - x - 150;
      scene.text({label + 4, y + 15}, fit_text(v->label, 12, label), 12, Role::Text, Anchor::End);
      Shape& bar = scene.rect(x, y + 4, std::max(room, 60.0) * *c->median / most, kRow - 8, series_role(data, v->series), 2);
      bar.opacity = 0.15, bar.stroke = series_role(data, v->series), bar.dashed = true, bar.tip = fmt::format("{}: {} tokens/s, projected", v->label, decimals(*c->median));
      const std::string fits = !c->fits ? "" : *c->fits ? ", fits" : ", does not fit";
      scene.text({bar.points[1].x + 6, y + 15}, decimals(*c->median) + fits, 11.5, Role::Text);
      y += kRow;
    }
    y += 4;
  }
  out.scene = std::move(scene);
  out.caption = "Projected, not measured: bytes and operations of each variant against the vendor's figures, times the efficiency measured here. Outlined bars mark projections. " +
                from_records(data, "bench", rows);
  return out;
}

Picture error_bars(const ReportData& data, double width) {
  Picture out{"What failed programs failed of", "", std::nullopt, ""};
  std::map<std::string, double> totals;
  double most = 0, label = 0;
  std::vector<const Variant*> rows;
  for (const auto& v : data.variants) {
    double sum = 0;
    for (const auto& [category, n] : v.errors) totals[category] += n, sum += n;
    if (v.errors.empty()) continue;
    rows.push_back(&v), most = std::max(most, sum), label = std::max(label, text_width(v.label, 12));
  }
  if (most <= 0) {
    out.missing = "no record holds failed programs by category";
    return out;
  }
  std::vector<std::pair<double, std::string>> order;
  for (const auto& [category, n] : totals)
    if (n > 0) order.emplace_back(-n, category);
  std::sort(order.begin(), order.end());
  // Hues that no method has come first.
  constexpr Role kCategoryRoles[] = {Role::Series6, Role::Series7, Role::Series5, Role::Series4, Role::Series3, Role::Series2, Role::Series1};
  constexpr size_t kMost = std::size(kCategoryRoles);
  const bool folded = order.size() > kMost;
  if (folded) order.resize(kMost - 1);
  label = std::min(label, narrow(width) ? 110.0 : 220.0);
  Scene scene(width, 60);
  std::vector<std::pair<Role, std::string>> entries;
  for (size_t i = 0; i < order.size(); ++i) entries.emplace_back(kCategoryRoles[i], order[i].second);
  if (folded) entries.emplace_back(Role::Series0, "other");
  double y = draw_legend(scene, entries, 0, 2, false) + 6;
  const double x = label + 14, room = width - x - 44;
  for (const auto* v : rows) {
    scene.text({label + 4, y + 15}, fit_text(v->label, 12, label), 12, Role::Text, Anchor::End);
    double at = x, sum = 0, named = 0;
    const auto piece = [&](double n, Role role, const std::string& name) {
      if (n <= 0) return;
      const double w = room * n / most;
      scene.rect(at, y + 3, w - 1, kRow - 6, role, 1).tip = fmt::format("{}: {} {:g}", v->label, name, n);
      if (w > 26) scene.text({at + w / 2, y + 15}, fmt::format("{:g}", n), 11, Role::HeatInkHigh, Anchor::Middle);
      at += w;
    };
    for (const auto& [category, n] : v->errors) sum += n;
    for (size_t i = 0; i < order.size(); ++i)
      if (const auto found = v->errors.find(order[i].second); found != v->errors.end()) piece(found->second, entries[i].first, found->first), named += found->second;
    piece(sum - named, Role::Series0, "other");
    scene.text({at + 6, y + 15}, fmt::format("{:g}", sum), 11.5, Role::Muted);
    y += kRow + 2;
  }
  scene.set_height(y + 8);
  out.scene = std::move(scene);
  out.caption = "Number of failed programs by the category of their first failure; the figure at the end is the sum. " + from_records(data, "eval", rows.size());
  return out;
}

}  // namespace teeny::report
