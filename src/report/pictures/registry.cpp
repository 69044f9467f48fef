#include "report/pictures/picture.h"

namespace teeny::report {

const std::vector<PictureKind>& picture_kinds() {
  static const std::vector<PictureKind> kinds{
      {"score_vs_bits", false, score_scatter}, {"speed_vs_bits", false, speed_scatter},   {"kld_vs_bits", false, kld_scatter},
      {"radar", false, radar},                 {"metrics", true, metric_bars},            {"heatmap_kld", false, kld_heat_map},
      {"heatmap_score", false, score_heat_map}, {"errors", true, error_bars},             {"layer_error", true, layer_bars},
      {"sensitivity", true, sensitivity_bars}, {"projected_speed", true, projected_bars},
  };
  return kinds;
}

}  // namespace teeny::report
