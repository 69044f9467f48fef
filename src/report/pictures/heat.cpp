// Precision heat maps: series x bits. A cell with several variants shows the best of them and says how many there are.
#include <algorithm>
#include <cmath>
#include <set>

#include "report/format.h"
#include "report/pictures/picture.h"

namespace teeny::report {
namespace {

struct HeatCell {
  const Variant* best = nullptr;
  double value = 0;
  int count = 0;
};

struct Heat {
  bool low_is_good = false, logarithmic = false;
  std::function<Maybe(const Variant&)> value;
  std::function<std::string(double)> show;
  std::vector<std::string> rows;
  std::vector<double> columns;  // bits, falling
  std::vector<std::vector<HeatCell>> cells;
  double low = 1e300, high = -1e300;

  double scaled(double v) const { return logarithmic ? std::log(std::max(v, 1e-9)) : v; }
  int step(double v) const {
    const double span = scaled(high) - scaled(low);
    const double t = span > 1e-12 ? (scaled(v) - scaled(low)) / span : 0.4;
    return std::clamp(int(t * (kHeatSteps - 1) + 0.5), 0, kHeatSteps - 1);
  }
};

// Rows are methods; where models or machines are compared, these.
std::string row_of(const ReportData& data, const Variant& v) {
  const bool by_series = data.comparison != Comparison::Bits;
  return by_series ? v.series : v.is_reference ? "Original" : v.method.empty() ? "Original" : v.method;
}

bool fill(Heat& heat, const ReportData& data) {
  std::set<double, std::greater<>> bits;
  for (const auto& v : data.variants) {
    if (!v.bits || !heat.value(v)) continue;
    bits.insert(*v.bits);
    if (std::find(heat.rows.begin(), heat.rows.end(), row_of(data, v)) == heat.rows.end()) heat.rows.push_back(row_of(data, v));
  }
  heat.columns.assign(bits.begin(), bits.end());
  heat.cells.assign(heat.rows.size(), std::vector<HeatCell>(heat.columns.size()));
  int filled = 0;
  for (const auto& v : data.variants) {
    const auto x = heat.value(v);
    if (!v.bits || !x) continue;
    const auto row = size_t(std::find(heat.rows.begin(), heat.rows.end(), row_of(data, v)) - heat.rows.begin());
    const auto column = size_t(std::find(heat.columns.begin(), heat.columns.end(), *v.bits) - heat.columns.begin());
    auto& cell = heat.cells[row][column];
    filled += cell.count++ == 0;
    if (!cell.best || (heat.low_is_good ? *x < cell.value : *x > cell.value)) cell.best = &v, cell.value = *x;
    heat.low = std::min(heat.low, *x), heat.high = std::max(heat.high, *x);
  }
  return filled >= 2;
}

void draw_scale(Scene& scene, const Heat& heat, double x, double y) {
  constexpr double step = 18;
  const std::string low = heat.show(heat.low), high = heat.show(heat.high);
  scene.text({x, y + 11}, low, 11.5, Role::Muted);
  double at = x + text_width(low, 11.5) + 6;
  for (int i = 0; i < kHeatSteps; ++i, at += step) scene.rect(at, y, step, 14, Role::Heat0 + i);
  scene.text({at + 6, y + 11}, high + (heat.low_is_good ? " (worse)" : " (better)"), 11.5, Role::Muted);
}

Scene draw_heat(const Heat& heat, double width) {
  const bool small = narrow(width);
  double label = 0;
  for (const auto& row : heat.rows) label = std::max(label, text_width(row, 12));
  label = std::min(label, width * 0.3);
  const double left = label + 14, top = 60, cell_height = small ? 38 : 44;
  const double cell_width = std::min((width - left - 4) / double(heat.columns.size()), 120.0);
  Scene scene(width, top + cell_height * double(heat.rows.size()) + 14);
  draw_scale(scene, heat, left, 2);
  for (size_t c = 0; c < heat.columns.size(); ++c)
    scene.text({left + (double(c) + 0.5) * cell_width, top - 10}, fmt::format("{:g}{}", heat.columns[c], small ? " b" : " bits"), 12, Role::Muted, Anchor::Middle);
  for (size_t r = 0; r < heat.rows.size(); ++r) {
    const double y = top + double(r) * cell_height;
    scene.text({left - 10, y + cell_height / 2 + 4}, fit_text(heat.rows[r], 12, label), 12, Role::Text, Anchor::End);
    for (size_t c = 0; c < heat.columns.size(); ++c) {
      const auto& cell = heat.cells[r][c];
      const double x = left + double(c) * cell_width;
      if (!cell.best) {
        scene.rect(x + 1, y + 1, cell_width - 2, cell_height - 2, Role::None, 3).stroke = Role::Grid;
        continue;
      }
      const int step = heat.step(cell.value);
      scene.rect(x + 1, y + 1, cell_width - 2, cell_height - 2, Role::Heat0 + step, 3).tip = cell.best->label + ": " + heat.show(cell.value);
      const Role ink = step >= 5 ? Role::HeatInkHigh : Role::HeatInkLow;
      const bool two = cell.count > 1 && !small;
      scene.text({x + cell_width / 2, y + cell_height / 2 + (two ? -1 : 4.5)}, heat.show(cell.value), small ? 11.5 : 13, ink, Anchor::Middle).bold = true;
      if (two) scene.text({x + cell_width / 2, y + cell_height / 2 + 14}, fit_text(fmt::format("best of {}", cell.count), 10.5, cell_width - 6), 10.5, ink, Anchor::Middle);
    }
  }
  return scene;
}

Picture build(const ReportData& data, double width, Heat heat, std::string title, const std::string& what) {
  Picture out{std::move(title), "", std::nullopt, ""};
  if (!fill(heat, data)) {
    out.missing = "it needs this figure at two combinations of method and bits";
    return out;
  }
  size_t n = 0;
  for (const auto& row : heat.cells)
    for (const auto& cell : row) n += size_t(cell.count);
  out.scene = draw_heat(heat, width);
  out.caption = what + " Where several variants share a cell, the best of them is shown; empty cells were not measured. " + from_records(data, "eval", n);
  return out;
}
}  // namespace

Picture kld_heat_map(const ReportData& data, double width) {
  Heat heat;
  heat.low_is_good = heat.logarithmic = true;
  heat.value = [](const Variant& v) -> Maybe { return v.kld() && *v.kld()->value > 0 && !v.is_reference ? v.kld()->value : std::nullopt; };
  heat.show = [](double v) { return decimals(v, 2); };
  return build(data, width, heat, "Divergence by method and bits", "Mean KL divergence from the original, nats a token; colour on a logarithmic scale, darker (on dark pages brighter) is worse.");
}

Picture score_heat_map(const ReportData& data, double width) {
  Heat heat;
  const std::string task = data.code_tasks.empty() ? "" : data.code_tasks.front();
  heat.value = [task](const Variant& v) { return v.task(task) ? v.task(task)->value : Maybe(); };
  heat.show = [](double v) { return fmt::format("{:.1f} %", v * 100); };
  return build(data, width, heat, "Score by method and bits", fmt::format("{}; darker (on dark pages brighter) is better.", task));
}

}  // namespace teeny::report
