// The one drawing model: a flat list of shapes in pixels, y down. SVG and PNG draw it; nothing else knows either.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "report/theme.h"

namespace teeny::report {

struct Point {
  double x = 0, y = 0;
};
enum class Anchor : uint8_t { Start, Middle, End };
enum class ShapeKind : uint8_t { Polyline, Polygon, Rect, Circle, Text };

struct Shape {
  ShapeKind kind = ShapeKind::Polyline;
  std::vector<Point> points;           // Rect: two corners; Circle, Text: one point
  double radius = 0;                   // Circle; corners of Rect
  double stroke_width = 1, opacity = 1;  // opacity: of the fill
  bool dashed = false, bold = false, turned = false;  // turned: text reads upwards
  Role fill = Role::None, stroke = Role::None;
  Anchor anchor = Anchor::Start;
  double size = 12;                    // of text
  std::string text, tip;               // tip: shown when pointed at
};

class Scene {
 public:
  Scene(double width, double height) : width_(width), height_(height) {}
  double width() const { return width_; }
  double height() const { return height_; }
  void set_height(double height) { height_ = height; }
  const std::vector<Shape>& shapes() const { return shapes_; }

  Shape& line(Point a, Point b, Role stroke, double width = 1);
  Shape& polyline(std::vector<Point> points, Role stroke, double width = 1.5);
  Shape& polygon(std::vector<Point> points, Role fill);
  Shape& rect(double x, double y, double width, double height, Role fill, double radius = 0);
  Shape& circle(Point centre, double radius, Role fill);
  Shape& text(Point at, std::string text, double size = 12, Role fill = Role::Text, Anchor anchor = Anchor::Start);
  void append(const Scene& other, double dx, double dy);
  // Shape number `index` of a fixed list (circle, square, diamond, triangles...), about `radius` large.
  Shape& marker(int index, Point centre, double radius, Role fill);

 private:
  Shape& add(Shape shape);
  double width_, height_;
  std::vector<Shape> shapes_;
};

double text_width(std::string_view text, double size);  // an estimate, a little generous
std::string fit_text(std::string_view text, double size, double width);  // cut with an ellipsis when too wide

// The scene as a file of its own: margins, title above, caption below in as many lines as it needs.
Scene with_title(const Scene& scene, const std::string& title, const std::string& caption);

enum class SvgUse { Inline, File };  // Inline: colours are CSS variables of the page; File: light colours, stands alone
std::string to_svg(const Scene& scene, const std::string& title, const std::string& description, SvgUse use);
// PNG bytes, `scale` pixels a unit; throws Device when the build has no Cairo.
std::string to_png(const Scene& scene, double scale);
bool can_draw_png();

}  // namespace teeny::report
