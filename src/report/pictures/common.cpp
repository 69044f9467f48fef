#include <algorithm>
#include <cmath>

#include "report/format.h"
#include "report/pictures/picture.h"

namespace teeny::report {

bool narrow(double width) { return width < 420; }

int series_index(const ReportData& data, const std::string& series) {
  // Methods keep their colour in every report, whichever of them are in it.
  constexpr const char* fixed[] = {"Original", "GPTQ", "AWQ", "GGUF", "INT8", "RTN"};
  if (data.comparison == Comparison::Methods) {
    for (int i = 0; i < int(std::size(fixed)); ++i)
      if (series == fixed[i]) return i;
    int other = 0;
    for (const auto& s : data.series) {
      if (s == series) return 6 + other % 2;
      other += std::find(std::begin(fixed), std::end(fixed), s) == std::end(fixed);
    }
  }
  const auto at = std::find(data.series.begin(), data.series.end(), series);
  const int index = int(at - data.series.begin());
  const bool has_original = !data.series.empty() && data.series[0] == "Original";
  return has_original || data.comparison == Comparison::Methods ? index % kSeriesColours : 1 + index % (kSeriesColours - 1);
}

Role series_role(const ReportData& data, const std::string& series) { return Role::Series0 + series_index(data, series); }

double draw_legend(Scene& scene, const std::vector<std::pair<Role, std::string>>& entries, double x, double y, bool markers) {
  constexpr double size = 12, row = 20;
  double at = x;
  for (const auto& [role, name] : entries) {
    const std::string shown = fit_text(name, size, scene.width() - x - 24);
    const double width = 18 + text_width(shown, size) + 14;
    if (at > x && at + width > scene.width()) at = x, y += row;
    if (markers) scene.marker(int(role) - int(Role::Series0), {at + 6, y + 8}, 5, role);
    else scene.rect(at, y + 2, 12, 12, role, 2);
    scene.text({at + 18, y + 12.5}, shown, size, Role::Muted);
    at += width;
  }
  return y + (entries.empty() ? 0 : row + 4);
}

std::string from_records(const ReportData&, const char* command, size_t variants) {
  return fmt::format("From the {} records of {} variant{}.", command, variants, variants == 1 ? "" : "s");
}

double Axis::at(double value) const {
  const auto scaled = [&](double v) { return logarithmic ? std::log(std::max(v, 1e-300)) : v; };
  const double span = scaled(high) - scaled(low);
  const double t = span > 0 ? (scaled(value) - scaled(low)) / span : 0.5;
  return from + std::clamp(t, 0.0, 1.0) * (to - from);
}

namespace {
double round_step(double raw) {
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (double m : {1.0, 2.0, 2.5, 5.0, 10.0})
    if (m * power >= raw * 0.999) return m * power;
  return 10 * power;
}

void log_ticks(Axis& axis, int count) {
  const double decades = std::log10(axis.high / axis.low);
  const std::vector<double> steps = decades < 1.2 ? std::vector<double>{1, 2, 3, 4, 6, 8} : decades < 2.5 ? std::vector<double>{1, 2, 5} : std::vector<double>{1};
  for (double power = std::pow(10, std::floor(std::log10(axis.low))); power <= axis.high; power *= 10)
    for (double m : steps)
      if (m * power >= axis.low * 0.999 && m * power <= axis.high * 1.001) axis.ticks.push_back(m * power);
  while (int(axis.ticks.size()) > std::max(3, count + 2)) {  // every second one
    std::vector<double> half;
    for (size_t i = 0; i < axis.ticks.size(); i += 2) half.push_back(axis.ticks[i]);
    axis.ticks = half;
  }
}
}  // namespace

Axis make_axis(const std::vector<double>& values, bool logarithmic, bool from_zero, int count) {
  Axis axis;
  axis.logarithmic = logarithmic;
  if (values.empty()) return axis;
  axis.low = *std::min_element(values.begin(), values.end());
  axis.high = *std::max_element(values.begin(), values.end());
  if (logarithmic) {
    axis.low = std::max(axis.low, 1e-12), axis.high = std::max(axis.high, axis.low);
    const double pad = std::max(1.12, std::pow(axis.high / axis.low, 0.06));
    axis.low /= pad, axis.high *= pad;
    log_ticks(axis, count);
    return axis;
  }
  if (from_zero) axis.low = std::min(0.0, axis.low);
  double span = axis.high - axis.low;
  if (span <= 0) span = std::max(1e-9, std::abs(axis.high) * 0.2), axis.low -= from_zero ? 0 : span / 2;
  const double step = round_step(span / std::max(2, count));
  axis.low = std::floor(axis.low / step + 1e-9) * step;
  axis.high = std::ceil((axis.low + std::max(span, axis.high - axis.low)) / step - 1e-9) * step;
  for (double t = axis.low; t <= axis.high + step * 0.001; t += step) axis.ticks.push_back(std::abs(t) < step * 1e-6 ? 0 : t);
  return axis;
}

}  // namespace teeny::report
