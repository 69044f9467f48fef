#include "report/scene.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace teeny::report {

Shape& Scene::add(Shape shape) {
  shapes_.push_back(std::move(shape));
  return shapes_.back();
}

Shape& Scene::polyline(std::vector<Point> points, Role stroke, double width) {
  Shape s;
  s.points = std::move(points);
  s.stroke = stroke;
  s.stroke_width = width;
  return add(std::move(s));
}

Shape& Scene::line(Point a, Point b, Role stroke, double width) { return polyline({a, b}, stroke, width); }

Shape& Scene::polygon(std::vector<Point> points, Role fill) {
  Shape& s = polyline(std::move(points), Role::None);
  s.kind = ShapeKind::Polygon;
  s.fill = fill;
  return s;
}

Shape& Scene::rect(double x, double y, double width, double height, Role fill, double radius) {
  Shape& s = polygon({{x, y}, {x + std::max(0.0, width), y + std::max(0.0, height)}}, fill);
  s.kind = ShapeKind::Rect;
  s.radius = std::min({radius, std::max(0.0, width) / 2, std::max(0.0, height) / 2});
  return s;
}

Shape& Scene::circle(Point centre, double radius, Role fill) {
  Shape& s = polygon({centre}, fill);
  s.kind = ShapeKind::Circle;
  s.radius = radius;
  return s;
}

Shape& Scene::text(Point at, std::string text, double size, Role fill, Anchor anchor) {
  Shape& s = polygon({at}, fill);
  s.kind = ShapeKind::Text;
  s.text = std::move(text);
  s.size = size;
  s.anchor = anchor;
  return s;
}

Shape& Scene::marker(int index, Point c, double r, Role fill) {
  const auto regular = [&](int corners, double turn, double radius) {
    std::vector<Point> points;
    for (int i = 0; i < corners; ++i) {
      const double angle = turn + 2 * std::numbers::pi * i / corners - std::numbers::pi / 2;
      points.push_back({c.x + radius * std::cos(angle), c.y + radius * std::sin(angle)});
    }
    return points;
  };
  constexpr double quarter = std::numbers::pi / 4;
  switch (index % 7) {
    case 0: return circle(c, r, fill);
    case 1: return polygon(regular(4, quarter, r * 1.25), fill);      // square
    case 2: return polygon(regular(4, 0, r * 1.3), fill);             // diamond
    case 3: return polygon(regular(3, 0, r * 1.35), fill);            // triangle up
    case 4: return polygon(regular(3, 4 * quarter, r * 1.35), fill);  // triangle down
    case 5: return polygon(regular(5, 0, r * 1.2), fill);
    default: return polygon(regular(6, 0, r * 1.15), fill);
  }
}

void Scene::append(const Scene& other, double dx, double dy) {
  for (Shape s : other.shapes_) {
    for (auto& p : s.points) p.x += dx, p.y += dy;
    shapes_.push_back(std::move(s));
  }
}

Scene with_title(const Scene& scene, const std::string& title, const std::string& caption) {
  constexpr double margin = 24, top = 56, line = 17, size = 12;
  std::vector<std::string> lines(1);
  for (size_t at = 0; at < caption.size();) {
    const size_t end = std::min(caption.find(' ', at), caption.size());
    const std::string word = caption.substr(at, end - at);
    if (!lines.back().empty() && text_width(lines.back() + " " + word, size) > scene.width()) lines.emplace_back();
    lines.back() += (lines.back().empty() ? "" : " ") + word;
    at = end + 1;
  }
  Scene out(scene.width() + 2 * margin, scene.height() + top + 12 + line * double(lines.size()) + margin);
  out.text({margin, 34}, fit_text(title, 17, scene.width()), 17, Role::Text).bold = true;
  out.append(scene, margin, top);
  for (size_t i = 0; i < lines.size(); ++i) out.text({margin, top + scene.height() + 24 + line * double(i)}, lines[i], size, Role::Muted);
  return out;
}

double text_width(std::string_view text, double size) {
  double em = 0;
  for (const char c : text) {
    if ((uint8_t(c) & 0xc0) == 0x80) continue;  // tails of UTF-8 sequences
    if (std::string_view("iljI.,:;|!'").find(c) != std::string_view::npos) em += 0.3;
    else if (std::string_view(" ftr()[]/-").find(c) != std::string_view::npos) em += 0.37;
    else if (std::string_view("mwMW%@").find(c) != std::string_view::npos) em += 0.9;
    else if (c >= 'A' && c <= 'Z') em += 0.69;
    else em += 0.59;
  }
  return em * size;
}

std::string fit_text(std::string_view text, double size, double width) {
  if (text_width(text, size) <= width) return std::string(text);
  std::string out(text);
  while (!out.empty() && text_width(out + "\u2026", size) > width) {
    while (!out.empty() && (uint8_t(out.back()) & 0xc0) == 0x80) out.pop_back();
    if (!out.empty()) out.pop_back();
  }
  return out + "\u2026";
}

}  // namespace teeny::report
