// Pictures: each builder lays itself out for the width it is given (wide page, half page, phone).
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "report/data.h"
#include "report/scene.h"

namespace teeny::report {

struct Picture {
  std::string title, caption;
  std::optional<Scene> scene;  // none: left out, `missing` says why
  std::string missing;
};

struct PictureKind {
  const char* id;  // file name
  bool full_width;
  Picture (*build)(const ReportData& data, double width);
};

const std::vector<PictureKind>& picture_kinds();  // registry.cpp: one line a picture

Picture speed_scatter(const ReportData& data, double width);
Picture score_scatter(const ReportData& data, double width);
Picture kld_scatter(const ReportData& data, double width);
Picture radar(const ReportData& data, double width);
Picture kld_heat_map(const ReportData& data, double width);
Picture score_heat_map(const ReportData& data, double width);
Picture metric_bars(const ReportData& data, double width);
Picture layer_bars(const ReportData& data, double width);
Picture sensitivity_bars(const ReportData& data, double width);
Picture error_bars(const ReportData& data, double width);
Picture projected_bars(const ReportData& data, double width);

// Shared parts.
bool narrow(double width);                                     // a phone's width
Role series_role(const ReportData& data, const std::string& series);
int series_index(const ReportData& data, const std::string& series);
// A wrapped row of marks with names at the top; returns the y below it.
double draw_legend(Scene& scene, const std::vector<std::pair<Role, std::string>>& entries, double x, double y, bool markers);
std::string from_records(const ReportData& data, const char* command, size_t variants);  // "From the bench records of 8 variants."

struct Axis {
  double low = 0, high = 1;    // values
  double from = 0, to = 1;     // pixels
  bool logarithmic = false;
  std::vector<double> ticks;
  double at(double value) const;
};
// A scale over the values with round ticks, about `count` of them; linear scales of `from_zero` begin at 0.
Axis make_axis(const std::vector<double>& values, bool logarithmic, bool from_zero, int count);

}  // namespace teeny::report
