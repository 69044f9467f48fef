// Where in the depth of the model the error sits: relative weight error by layer, and measured sensitivity.
#include <algorithm>
#include <cmath>
#include <map>

#include "report/format.h"
#include "report/pictures/picture.h"

namespace teeny::report {
namespace {
constexpr size_t kMostPanels = 12;
constexpr size_t kMostBars = 24;

// Layer -> relative error of its tensors together: root of the mean square, weighted by their bytes.
std::map<int, double> errors_by_layer(const Variant& v) {
  std::map<int, std::pair<double, double>> sums;
  for (const auto& t : v.tensors)
    if (t.layer >= 0) {
      const double weight = std::max(t.bytes, 1.0);
      sums[t.layer].first += weight * t.error * t.error, sums[t.layer].second += weight;
    }
  std::map<int, double> out;
  for (const auto& [layer, sum] : sums) out[layer] = std::sqrt(sum.first / sum.second);
  return out;
}

void draw_panel(Scene& scene, const ReportData& data, const Variant& v, const std::map<int, double>& errors, int layers, double top, double x, double y, double width) {
  constexpr double height = 84;
  double mean = 0;
  for (const auto& [layer, e] : errors) mean += e / double(errors.size());
  scene.text({x, y + 12}, fit_text(v.label, 12.5, width * 0.6), 12.5, Role::Text).bold = true;
  scene.text({x + width, y + 12}, "mean " + decimals(mean), 11.5, Role::Muted, Anchor::End);
  Axis axis = make_axis({top}, false, true, 3);
  axis.from = y + 24 + height, axis.to = y + 24;
  const double left = x + 36, step = (width - 36) / double(layers);
  for (double t : axis.ticks) {
    scene.line({left, axis.at(t)}, {x + width, axis.at(t)}, t == 0 ? Role::Axis : Role::Grid);
    scene.text({left - 6, axis.at(t) + 4}, fmt::format("{:g}", t), 11, Role::Muted, Anchor::End);
  }
  for (const auto& [layer, e] : errors)
    scene.rect(left + step * layer + step * 0.1, axis.at(e), step * 0.8, axis.from - axis.at(e), series_role(data, v.series), 1).tip =
        fmt::format("{}, layer {}: {}", v.label, layer, decimals(e));
  const int every = std::max(1, int(std::ceil(double(layers) / 8)));
  for (int layer = 0; layer < layers; layer += every)
    scene.text({left + step * (layer + 0.5), axis.from + 14}, std::to_string(layer), 11, Role::Muted, Anchor::Middle);
}
}  // namespace

Picture layer_bars(const ReportData& data, double width) {
  Picture out{"Weight error by layer", "", std::nullopt, ""};
  std::vector<std::pair<const Variant*, std::map<int, double>>> panels;
  double top = 0;
  int layers = 1;
  size_t known = 0;
  for (const auto& v : data.variants) {
    auto errors = errors_by_layer(v);
    if (errors.empty() || ++known > kMostPanels) continue;
    for (const auto& [layer, e] : errors) top = std::max(top, e), layers = std::max(layers, layer + 1);
    panels.emplace_back(&v, std::move(errors));
  }
  if (panels.empty() || top <= 0) {
    out.missing = "no quantize record holds the error of its tensors";
    return out;
  }
  const size_t columns = narrow(width) ? 1 : std::min<size_t>(panels.size(), panels.size() > 6 ? 4 : 3), rows = (panels.size() + columns - 1) / columns;
  const double gap = 28, panel = (width - gap * double(columns - 1)) / double(columns), band = 140;
  Scene scene(width, band * double(rows) + 18);
  for (size_t i = 0; i < panels.size(); ++i)
    draw_panel(scene, data, *panels[i].first, panels[i].second, layers, top, double(i % columns) * (panel + gap), double(i / columns) * band, panel);
  const char* axes = narrow(width) ? "Across: decoder layer. Up: relative weight error." : "Decoder layer (across), relative weight error ||W \u2212 Q|| / ||W|| (up)";
  scene.text({width / 2, band * double(rows) + 10}, axes, 12, Role::Muted, Anchor::Middle);
  out.scene = std::move(scene);
  out.caption = "Root mean square over the tensors of each layer, weighted by their bytes; all panels share one scale. " +
                std::string(known > kMostPanels ? fmt::format("The first {} of {} variants are drawn. ", kMostPanels, known) : "") + from_records(data, "quantize", panels.size());
  return out;
}

Picture sensitivity_bars(const ReportData& data, double width) {
  Picture out{"Sensitivity by layer", "", std::nullopt, ""};
  const Variant* v = nullptr;
  for (const auto& one : data.variants)
    if (!v && !one.sensitivity.empty()) v = &one;
  if (!v) {
    out.missing = "no quantize record holds measured sensitivities (--target-bpw, --target-size or --max-ppl-increase measure them)";
    return out;
  }
  auto list = v->sensitivity;
  std::stable_sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.value > b.value; });
  const size_t all = list.size();
  if (list.size() > kMostBars) list.resize(kMostBars);
  const double label = narrow(width) ? 140 : 320, row = 20, most = std::max(list.front().value, 1e-12), right = narrow(width) ? 130 : 190;
  Scene scene(width, row * double(list.size()) + 30);
  double y = 0;
  for (const auto& layer : list) {
    const std::string chosen = layer.chosen.empty() ? "" : " \u2192 " + layer.chosen;
    scene.text({label, y + 14}, fit_text(layer.name, 11.5, label), 11.5, Role::Text, Anchor::End);
    const double w = std::max(0.0, layer.value) / most * (width - label - right);
    scene.rect(label + 8, y + 3, w, row - 6, Role::Accent, 2).tip =
        layer.name + ": " + decimals(layer.value) + (chosen.empty() ? "" : fmt::format("; as {}: {}", layer.chosen, decimals(layer.at_chosen)));
    scene.text({label + 14 + w, y + 14}, decimals(layer.value) + chosen, 11.5, Role::Text);
    y += row;
  }
  const std::string at = v->sensitivity_encoding.empty() ? "" : " with the layer as " + v->sensitivity_encoding;
  scene.text({label + 8, y + 18}, fit_text("Increase of " + v->sensitivity_metric + at, 12, width - label - 8), 12, Role::Muted);
  out.scene = std::move(scene);
  out.caption = fmt::format("{}: how much {} rises when this layer alone is quantized{}{}; the {} most sensitive of {}. ", v->label, v->sensitivity_metric,
                            v->sensitivity_encoding.empty() ? "" : ", to " + v->sensitivity_encoding, v->sensitivity_encoding.empty() ? "" : ", and the encoding that it was given", list.size(), all) +
                from_records(data, "quantize", 1);
  return out;
}

}  // namespace teeny::report
