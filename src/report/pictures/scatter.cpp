// Quality, speed and divergence against compression, with the Pareto front.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "report/format.h"
#include "report/pictures/picture.h"
#include "teeny/core/file.h"

namespace teeny::report {
namespace {

struct Mark {
  const Variant* variant;
  double x, y;
  std::optional<Interval> interval;
};

struct Plot {
  std::string x_title, y_title;
  bool log_y = false, y_from_zero = false, high_is_good = true, x_is_bytes = false;
  std::function<std::string(double)> show_y = [](double v) { return decimals(v); };
  std::vector<Mark> marks;
};

struct Box {
  double x, y, w, h;
  bool hits(const Box& o) const { return x < o.x + o.w && o.x < x + w && y < o.y + o.h && o.y < y + h; }
};

// Different models differ in size first: bits per weight would hide it.
bool by_size(const ReportData& data) {
  if (data.comparison == Comparison::Models) return true;
  return std::any_of(data.variants.begin(), data.variants.end(), [](const Variant& v) { return !v.bits_per_weight; });
}

Maybe x_of(const Variant& v, bool bytes) { return bytes ? v.bytes : v.bits_per_weight; }

std::vector<Mark> pareto(std::vector<Mark> marks, bool high_is_good) {
  std::sort(marks.begin(), marks.end(), [&](const Mark& a, const Mark& b) { return a.x != b.x ? a.x < b.x : high_is_good ? a.y > b.y : a.y < b.y; });
  std::vector<Mark> front;
  for (const auto& m : marks)
    if (front.empty() || (high_is_good ? m.y > front.back().y : m.y < front.back().y)) front.push_back(m);
  return front;
}

void draw_axes(Scene& scene, const Plot& plot, const Axis& x, const Axis& y) {
  for (double t : y.ticks) {
    scene.line({x.from, y.at(t)}, {x.to, y.at(t)}, Role::Grid);
    scene.text({x.from - 8, y.at(t) + 4}, fmt::format("{:g}", t), 11.5, Role::Muted, Anchor::End);
  }
  for (double t : x.ticks) {
    scene.line({x.at(t), y.from}, {x.at(t), y.from + 4}, Role::Axis);
    scene.text({x.at(t), y.from + 18}, plot.x_is_bytes ? human_bytes(uint64_t(t)) : fmt::format("{:g}", t), 11.5, Role::Muted, Anchor::Middle);
  }
  scene.line({x.from, y.from}, {x.to, y.from}, Role::Axis);
  scene.text({(x.from + x.to) / 2, y.from + 38}, plot.x_title, 12, Role::Muted, Anchor::Middle);
  scene.text({14, (y.from + y.to) / 2}, plot.y_title, 12, Role::Muted, Anchor::Middle).turned = true;
}

std::vector<Box> places_for(double px, double py, double w, double height) {
  std::vector<Box> out{{px + 10, py - 7, w, height},      {px - 10 - w, py - 7, w, height}, {px - w / 2, py - 24, w, height}, {px - w / 2, py + 10, w, height},
                       {px + 8, py - 21, w, height},      {px + 8, py + 8, w, height},      {px - 8 - w, py - 21, w, height}, {px - 8 - w, py + 8, w, height}};
  for (double far : {34.0, 52.0, 72.0})  // farther away, with a leader
    for (int turn = 0; turn < 12; ++turn) {
      const double angle = turn * std::numbers::pi / 6, cx = px + (far + w / 3) * std::cos(angle), cy = py + far * std::sin(angle);
      out.push_back({cx - w / 2, cy - height / 2, w, height});
    }
  return out;
}

constexpr size_t kWithoutLeader = 8;

// Whether a leader would run over another mark or label; its own mark lies within the first pixels.
bool crosses(Point from, Point to, const std::vector<Box>& taken) {
  const double length = std::hypot(to.x - from.x, to.y - from.y);
  for (double at = 14; at < length - 1; at += 3) {
    const Box dot{from.x + (to.x - from.x) * at / length, from.y + (to.y - from.y) * at / length, 1, 1};
    if (std::any_of(taken.begin(), taken.end(), [&](const Box& o) { return dot.hits(o); })) return true;
  }
  return false;
}

// Each label goes to the first free place around its mark; one without a free place stays in the tooltip and the table.
void draw_labels(Scene& scene, const Plot& plot, const Axis& x, const Axis& y, std::vector<Box> taken) {
  constexpr double size = 11.5, height = 14;
  auto order = pareto(plot.marks, plot.high_is_good);  // the front first: its names matter most
  for (const auto& m : plot.marks)
    if (std::none_of(order.begin(), order.end(), [&](const Mark& o) { return o.variant == m.variant; })) order.push_back(m);
  for (const auto& m : order) {
    const double px = x.at(m.x), py = y.at(m.y), w = text_width(m.variant->label, size);
    const auto places = places_for(px, py, w, height);
    for (size_t i = 0; i < places.size(); ++i) {
      const Box& box = places[i];
      const bool inside = box.x >= x.from + 2 && box.x + box.w <= scene.width() && box.y >= y.to - 12 && box.y + box.h <= y.from - 1;
      if (!inside || std::any_of(taken.begin(), taken.end(), [&](const Box& o) { return box.hits(o); })) continue;
      if (i >= kWithoutLeader) {
        const Point end{std::clamp(px, box.x, box.x + box.w), std::clamp(py, box.y + 1, box.y + box.h - 1)};
        const double length = std::hypot(end.x - px, end.y - py);
        if (crosses({px, py}, end, taken)) continue;
        if (length > 12) scene.line({px + (end.x - px) * 8 / length, py + (end.y - py) * 8 / length}, end, Role::Axis);
      }
      scene.text({box.x, box.y + 11}, m.variant->label, size, Role::Text);
      taken.push_back(box);
      break;
    }
  }
}

void draw_marks(Scene& scene, const ReportData& data, const Plot& plot, const Axis& x, const Axis& y) {
  std::vector<Box> taken;
  const auto front = pareto(plot.marks, plot.high_is_good);
  std::vector<Point> path;
  for (const auto& m : front) path.push_back({x.at(m.x), y.at(m.y)});
  if (path.size() > 1) scene.polyline(path, Role::Axis, 1.5).dashed = true;
  for (size_t i = 0; i + 1 < path.size(); ++i)  // labels keep off the front
    for (double t = 0.1; t < 0.95; t += 0.1) taken.push_back({path[i].x + t * (path[i + 1].x - path[i].x) - 1, path[i].y + t * (path[i + 1].y - path[i].y) - 1, 2, 2});
  for (const auto& m : plot.marks) {
    const double px = x.at(m.x), py = y.at(m.y);
    const Role role = series_role(data, m.variant->series);
    if (m.interval) {
      scene.line({px, y.at(m.interval->low)}, {px, y.at(m.interval->high)}, role, 1.2);
      taken.push_back({px - 2, y.at(m.interval->high), 4, y.at(m.interval->low) - y.at(m.interval->high)});
    }
    taken.push_back({px - 7, py - 7, 14, 14});
  }
  for (const auto& m : plot.marks) {
    Shape& mark = scene.marker(series_index(data, m.variant->series), {x.at(m.x), y.at(m.y)}, 5.5, series_role(data, m.variant->series));
    mark.stroke = Role::Surface;
    mark.stroke_width = 1.5;
    mark.tip = fmt::format("{}: {} at {}", m.variant->label, plot.show_y(m.y), plot.x_is_bytes ? human_bytes(uint64_t(m.x)) : fmt::format("{:.2f} bits per weight", m.x));
  }
  draw_labels(scene, plot, x, y, taken);
}

Scene draw_scatter(const ReportData& data, const Plot& plot, double width) {
  const double height = narrow(width) ? 330 : 370;
  Scene scene(width, height);
  std::vector<std::pair<Role, std::string>> entries;
  for (const auto& s : data.series)
    if (std::any_of(plot.marks.begin(), plot.marks.end(), [&](const Mark& m) { return m.variant->series == s; })) entries.emplace_back(series_role(data, s), s);
  const double top = draw_legend(scene, entries, 4, 2, true) + 14;
  std::vector<double> xs, ys;
  for (const auto& m : plot.marks) {
    xs.push_back(m.x), ys.push_back(m.y);
    if (m.interval) ys.push_back(m.interval->low), ys.push_back(m.interval->high);
  }
  Axis x = make_axis(xs, true, false, narrow(width) ? 5 : 8), y = make_axis(ys, plot.log_y, plot.y_from_zero, 5);
  if (!plot.x_is_bytes) {
    x.ticks.clear();
    for (double t : {1., 1.5, 2., 3., 4., 5., 6., 8., 12., 16., 24., 32.})
      if (t >= x.low && t <= x.high && !(narrow(width) && (t == 5 || t == 12 || t == 24))) x.ticks.push_back(t);
  }
  double label = 0;
  for (double t : y.ticks) label = std::max(label, text_width(fmt::format("{:g}", t), 11.5));
  x.from = 26 + label + 8, x.to = width - 12;
  y.from = height - 46, y.to = top;
  draw_axes(scene, plot, x, y);
  draw_marks(scene, data, plot, x, y);
  return scene;
}

Plot start(const ReportData& data, const char* y_title) {
  Plot plot;
  plot.x_is_bytes = by_size(data);
  plot.x_title = plot.x_is_bytes ? "Size on disk (logarithmic) \u2190 smaller is better" : "Bits per weight (logarithmic) \u2190 smaller is better";
  plot.y_title = y_title;
  return plot;
}

std::string front_sentence(const Plot& plot) {
  const auto front = pareto(plot.marks, plot.high_is_good);
  if (front.size() == 1 && plot.marks.size() > 1) return front[0].variant->label + " is the best in both directions: the Pareto front is this one point.";
  return "The dashed line joins the Pareto front: variants that no other beats in both directions.";
}

Picture finish(const ReportData& data, const Plot& plot, double width, std::string title, std::string caption, const char* missing) {
  Picture out{std::move(title), std::move(caption), std::nullopt, ""};
  if (plot.marks.empty()) out.missing = missing;
  else out.scene = draw_scatter(data, plot, width);
  return out;
}
}  // namespace

Picture speed_scatter(const ReportData& data, double width) {
  Plot plot = start(data, "Decode speed, tokens/s");
  plot.y_from_zero = true;
  for (const auto& v : data.variants)
    if (const auto* c = v.speed(Phase::Decode))
      if (const auto x = x_of(v, plot.x_is_bytes)) plot.marks.push_back({&v, *x, *c->median, std::nullopt});
  return finish(data, plot, width, "Speed against compression",
                fmt::format("Median decode speed, measured: {}. Higher and further left is better. {} {}", data.decode_case, front_sentence(plot), from_records(data, "bench", plot.marks.size())),
                "no record holds a measured decode speed together with a size");
}

Picture score_scatter(const ReportData& data, double width) {
  const std::string task = data.code_tasks.empty() ? "" : data.code_tasks.front();
  Plot plot = start(data, "");
  plot.y_title = task + ", %";
  plot.show_y = [](double y) { return decimals(y); };
  for (const auto& v : data.variants) {
    const auto* t = v.task(task);
    const auto x = x_of(v, plot.x_is_bytes);
    if (!t || !t->value || !x) continue;
    std::optional<Interval> interval;
    if (t->interval) interval = Interval{t->interval->low * 100, t->interval->high * 100};
    plot.marks.push_back({&v, *x, *t->value * 100, interval});
  }
  return finish(data, plot, width, "Quality against compression",
                fmt::format("{} with 95 % intervals. Higher and further left is better. {} {}", task, front_sentence(plot), from_records(data, "eval", plot.marks.size())),
                "no record holds a pass@k score together with a size");
}

Picture kld_scatter(const ReportData& data, double width) {
  Plot plot = start(data, "Mean KL divergence, nats (logarithmic)");
  plot.log_y = true, plot.high_is_good = false;
  for (const auto& v : data.variants) {
    const auto* t = v.kld();
    const auto x = x_of(v, plot.x_is_bytes);
    if (!t || !x || *t->value <= 0) continue;
    auto interval = t->interval;
    if (interval && interval->low <= 0) interval.reset();
    plot.marks.push_back({&v, *x, *t->value, interval});
  }
  return finish(data, plot, width, "Divergence from the original against compression",
                fmt::format("Mean KL(original || variant) a token, with 95 % intervals. Lower and further left is better; the original itself would be 0. {} {}", front_sentence(plot),
                            from_records(data, "eval", plot.marks.size())),
                "no record holds a KL divergence together with a size");
}

}  // namespace teeny::report
