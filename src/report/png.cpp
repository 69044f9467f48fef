// Scenes as PNG: Cairo draws, zlib packs. Cairo's own PNG writer is not used: it packs ten times slower than pictures of
// flat colour need (run-length matching, one filter).
#include "report/scene.h"
#include "teeny/core/error.h"

#if TEENY_CAIRO
#include <cairo.h>
#include <zlib.h>

#include <cmath>
#include <memory>
#include <numbers>

namespace teeny::report {
namespace {

using Surface = std::unique_ptr<cairo_surface_t, decltype(&cairo_surface_destroy)>;
using Cairo = std::unique_ptr<cairo_t, decltype(&cairo_destroy)>;

void set_colour(cairo_t* c, Role role, double opacity) {
  const uint32_t rgb = kColours[size_t(role)].light;
  cairo_set_source_rgba(c, double(rgb >> 16 & 255) / 255, double(rgb >> 8 & 255) / 255, double(rgb & 255) / 255, opacity);
}

void draw_text(cairo_t* c, const Shape& s) {
  cairo_select_font_face(c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, s.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size(c, s.size);
  cairo_text_extents_t extents;
  cairo_text_extents(c, s.text.c_str(), &extents);
  // Layouts reckon with text_width(); a wider font is narrowed so that nothing collides.
  const double squeeze = extents.x_advance > 0 ? std::min(1.0, text_width(s.text, s.size) / extents.x_advance) : 1;
  const double width = extents.x_advance * squeeze;
  cairo_save(c);
  cairo_translate(c, s.points[0].x, s.points[0].y);
  if (s.turned) cairo_rotate(c, -std::numbers::pi / 2);
  cairo_translate(c, s.anchor == Anchor::Start ? 0 : s.anchor == Anchor::Middle ? -width / 2 : -width, 0);
  cairo_scale(c, squeeze, 1);
  cairo_move_to(c, 0, 0);
  set_colour(c, s.fill, 1);
  cairo_show_text(c, s.text.c_str());
  cairo_restore(c);
}

void outline(cairo_t* c, const Shape& s) {
  if (s.kind == ShapeKind::Circle) return cairo_arc(c, s.points[0].x, s.points[0].y, s.radius, 0, 2 * std::numbers::pi);
  if (s.kind == ShapeKind::Rect) {
    const double x = s.points[0].x, y = s.points[0].y, w = s.points[1].x - x, h = s.points[1].y - y, r = s.radius, q = std::numbers::pi / 2;
    if (r <= 0) return cairo_rectangle(c, x, y, w, h);
    cairo_arc(c, x + w - r, y + r, r, -q, 0);
    cairo_arc(c, x + w - r, y + h - r, r, 0, q);
    cairo_arc(c, x + r, y + h - r, r, q, 2 * q);
    cairo_arc(c, x + r, y + r, r, 2 * q, 3 * q);
    return cairo_close_path(c);
  }
  for (size_t i = 0; i < s.points.size(); ++i) i ? cairo_line_to(c, s.points[i].x, s.points[i].y) : cairo_move_to(c, s.points[i].x, s.points[i].y);
  if (s.kind == ShapeKind::Polygon) cairo_close_path(c);
}

void draw(cairo_t* c, const Shape& s) {
  if (s.kind == ShapeKind::Text) return draw_text(c, s);
  cairo_new_path(c);
  outline(c, s);
  if (s.fill != Role::None) {
    set_colour(c, s.fill, s.opacity);
    cairo_fill_preserve(c);
  }
  if (s.stroke != Role::None) {
    constexpr double dashes[] = {5, 4};
    set_colour(c, s.stroke, 1);
    cairo_set_line_width(c, s.stroke_width);
    cairo_set_dash(c, dashes, s.dashed ? 2 : 0, 0);
    cairo_stroke_preserve(c);
  }
  cairo_new_path(c);
}

void put_u32(std::string& out, uint32_t v) {
  for (int shift = 24; shift >= 0; shift -= 8) out += char(v >> shift & 255);
}

void put_chunk(std::string& out, const char* type, const std::string& body) {
  put_u32(out, uint32_t(body.size()));
  const std::string all = type + body;
  out += all;
  put_u32(out, uint32_t(crc32(0, reinterpret_cast<const Bytef*>(all.data()), uInt(all.size()))));
}

// One row of RGB with the filter "up": rows of flat pictures repeat, so most bytes become 0.
void filter_row(std::string& out, const uint32_t* row, const uint32_t* above, int width) {
  char* to = out.data();
  *to++ = 2;
  for (int x = 0; x < width; ++x) {
    const uint32_t p = row[x], a = above ? above[x] : 0;
    *to++ = char((p >> 16) - (a >> 16));
    *to++ = char((p >> 8) - (a >> 8));
    *to++ = char(p - a);
  }
}

// Row by row, so that a picture is in memory once.
std::string packed_rows(const unsigned char* pixels, int width, int height, int stride) {
  z_stream z{};
  TEENY_ASSERT(deflateInit2(&z, 1, Z_DEFLATED, 15, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string row(size_t(width) * 3 + 1, '\0'), out(1 << 16, '\0');
  size_t used = 0;
  for (int y = 0; y < height; ++y) {
    const auto line = [&](int at) { return reinterpret_cast<const uint32_t*>(pixels + ptrdiff_t(at) * stride); };
    filter_row(row, line(y), y ? line(y - 1) : nullptr, width);
    z.next_in = reinterpret_cast<Bytef*>(row.data());
    z.avail_in = uInt(row.size());
    int status = Z_OK;
    do {
      if (used == out.size()) out.resize(out.size() * 2);
      z.next_out = reinterpret_cast<Bytef*>(out.data() + used);
      z.avail_out = uInt(out.size() - used);
      status = deflate(&z, y + 1 == height ? Z_FINISH : Z_NO_FLUSH);
      used = out.size() - z.avail_out;
    } while (z.avail_in > 0 || (y + 1 == height && status != Z_STREAM_END));
  }
  deflateEnd(&z);
  out.resize(used);
  return out;
}
}  // namespace

bool can_draw_png() { return true; }

std::string to_png(const Scene& scene, double scale) {
  const int width = int(std::ceil(scene.width() * scale)), height = int(std::ceil(scene.height() * scale));
  const Surface surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height), cairo_surface_destroy);
  const Cairo c(cairo_create(surface.get()), cairo_destroy);
  if (cairo_status(c.get()) != CAIRO_STATUS_SUCCESS)
    throw device_error("report", "picture", "Cairo cannot draw {} x {} pixels: {}", width, height, cairo_status_to_string(cairo_status(c.get())));
  cairo_scale(c.get(), scale, scale);
  set_colour(c.get(), Role::Surface, 1);
  cairo_paint(c.get());
  for (const auto& shape : scene.shapes()) draw(c.get(), shape);
  cairo_surface_flush(surface.get());
  std::string header, out = "\x89PNG\r\n\x1a\n";
  put_u32(header, uint32_t(width));
  put_u32(header, uint32_t(height));
  header += std::string("\x08\x02\x00\x00\x00", 5);  // 8 bits, RGB
  put_chunk(out, "IHDR", header);
  std::string density;
  put_u32(density, uint32_t(std::lround(scale * 96 / 0.0254)));  // pixels a metre: keeps its printed size at any scale
  put_u32(density, uint32_t(std::lround(scale * 96 / 0.0254)));
  put_chunk(out, "pHYs", density + '\x01');
  put_chunk(out, "IDAT", packed_rows(cairo_image_surface_get_data(surface.get()), width, height, cairo_image_surface_get_stride(surface.get())));
  put_chunk(out, "IEND", "");
  return out;
}

}  // namespace teeny::report

#else

namespace teeny::report {
bool can_draw_png() { return false; }
std::string to_png(const Scene&, double) {
  throw device_error("report", "PNG", "this teeny was built without Cairo; the SVG files hold the same pictures, or rebuild with libcairo2-dev installed");
}
}  // namespace teeny::report

#endif
