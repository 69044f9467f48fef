#include <fmt/format.h>

#include <cmath>

#include "report/format.h"
#include "report/scene.h"

namespace teeny::report {
namespace {

// "12.3", "12": at most one decimal of a pixel, half of SVG's size is numbers.
void put(std::string& out, double v) {
  if (std::abs(v) < 0.05) v = 0;  // no "-0"
  fmt::format_to(std::back_inserter(out), "{:.1f}", v);
  if (out.ends_with(".0")) out.resize(out.size() - 2);
}

class Writer {
 public:
  Writer(std::string& out, SvgUse use) : out_(out), use_(use) {}

  void shape(const Shape& s) {
    switch (s.kind) {
      case ShapeKind::Polyline:
      case ShapeKind::Polygon: poly(s); break;
      case ShapeKind::Rect: rect(s); break;
      case ShapeKind::Circle: circle(s); break;
      case ShapeKind::Text: text(s); break;
    }
  }

 private:
  void number(const char* name, double v) {
    out_ += ' ', out_ += name, out_ += "=\"";
    put(out_, v);
    out_ += '"';
  }
  void colour(const char* name, Role role) {
    out_ += ' ', out_ += name, out_ += "=\"";
    const Colour& c = kColours[size_t(role)];
    if (role == Role::None) out_ += "none";
    else if (use_ == SvgUse::Inline) out_ += std::string("var(--") + c.name + ")";
    else fmt::format_to(std::back_inserter(out_), "#{:06x}", c.light);
    out_ += '"';
  }
  void paint(const Shape& s) {
    colour("fill", s.fill);
    if (s.fill != Role::None && s.opacity < 1) fmt::format_to(std::back_inserter(out_), " fill-opacity=\"{:.2f}\"", s.opacity);
    if (s.stroke == Role::None) return;
    colour("stroke", s.stroke);
    number("stroke-width", s.stroke_width);
    if (s.dashed) out_ += " stroke-dasharray=\"5 4\"";
    if (s.kind == ShapeKind::Polyline) out_ += " stroke-linejoin=\"round\" stroke-linecap=\"round\"";
  }
  void close(const Shape& s, const char* tag) {
    if (s.tip.empty()) {
      out_ += "/>";
      return;
    }
    out_ += "><title>" + escape_html(s.tip) + "</title></" + tag + ">";
  }
  void poly(const Shape& s) {
    const char* tag = s.kind == ShapeKind::Polyline ? "polyline" : "polygon";
    out_ += '<', out_ += tag, out_ += " points=\"";
    for (size_t i = 0; i < s.points.size(); ++i) {
      if (i) out_ += ' ';
      put(out_, s.points[i].x), out_ += ',', put(out_, s.points[i].y);
    }
    out_ += '"';
    paint(s);
    close(s, tag);
  }
  void rect(const Shape& s) {
    out_ += "<rect";
    number("x", s.points[0].x), number("y", s.points[0].y);
    number("width", s.points[1].x - s.points[0].x), number("height", s.points[1].y - s.points[0].y);
    if (s.radius > 0) number("rx", s.radius);
    paint(s);
    close(s, "rect");
  }
  void circle(const Shape& s) {
    out_ += "<circle";
    number("cx", s.points[0].x), number("cy", s.points[0].y), number("r", s.radius);
    paint(s);
    close(s, "circle");
  }
  void text(const Shape& s) {
    out_ += "<text";
    number("x", s.points[0].x), number("y", s.points[0].y), number("font-size", s.size);
    if (s.anchor != Anchor::Start) out_ += s.anchor == Anchor::Middle ? " text-anchor=\"middle\"" : " text-anchor=\"end\"";
    if (s.bold) out_ += " font-weight=\"600\"";
    if (s.turned) {
      out_ += " transform=\"rotate(-90 ";
      put(out_, s.points[0].x), out_ += ' ', put(out_, s.points[0].y);
      out_ += ")\"";
    }
    colour("fill", s.fill);
    out_ += '>' + escape_html(s.text);
    if (!s.tip.empty()) out_ += "<title>" + escape_html(s.tip) + "</title>";
    out_ += "</text>";
  }

  std::string& out_;
  SvgUse use_;
};
}  // namespace

std::string to_svg(const Scene& scene, const std::string& title, const std::string& description, SvgUse use) {
  std::string out = fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0f} {:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\" role=\"img\"",
                                scene.width(), scene.height(), scene.width(), scene.height());
  if (use == SvgUse::File)
    out += " font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif\"><title>" + escape_html(title) + "</title><desc>" +
           escape_html(description) + "</desc><rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>";
  else
    out += " aria-label=\"" + escape_html(title) + "\">";
  Writer writer(out, use);
  for (const auto& shape : scene.shapes()) writer.shape(shape), out += '\n';
  return out + "</svg>\n";
}

}  // namespace teeny::report
