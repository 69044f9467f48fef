#include "teeny/report/report.h"

#include <filesystem>
#include <fstream>

#include "report/format.h"
#include "report/renderers.h"
#include "teeny/core/context.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/core/parallel.h"

namespace teeny {
namespace {
using namespace report;
constexpr double kFullWidth = 1120, kHalfWidth = 536, kPhoneWidth = 350;
constexpr double kFullScale = 1.5, kHalfScale = 2;  // pixels a unit: about 1750 and 1170 pixels wide

void draw(DrawnPicture& p, const ReportData& data) {
  p.wide = p.kind->build(data, p.kind->full_width ? kFullWidth : kHalfWidth);
  if (!p.wide.scene) return;
  p.narrow = p.kind->build(data, kPhoneWidth);
  p.inline_wide = to_svg(*p.wide.scene, p.wide.title, p.wide.caption, SvgUse::Inline);
  p.inline_narrow = p.narrow.scene ? to_svg(*p.narrow.scene, p.wide.title, p.wide.caption, SvgUse::Inline) : p.inline_wide;
  const Scene file = with_title(*p.wide.scene, p.wide.title, p.wide.caption);
  p.svg = to_svg(file, p.wide.title, p.wide.caption, SvgUse::File);
  if (can_draw_png()) p.png = to_png(file, p.kind->full_width ? kFullScale : kHalfScale);
}

std::string made_title(const ReportData& data) {
  const char* what[] = {"quantization methods compared", "bit widths compared", "models compared", "hardware compared"};
  return clip_text(data.subject, 60) + ": " + what[size_t(data.comparison)];
}

Json number_or_null(const Maybe& v) { return v ? Json(*v) : Json(nullptr); }

Json summary_of(const ReportData& data, size_t records, const std::vector<std::string>& files, const Page& page) {
  Json variants = Json::array(), claims = Json::array(), omitted = Json::array();
  for (size_t i = 0; i < data.variants.size(); ++i) {
    Json row;
    for (const auto& c : page.columns)
      if (c.cells[i].number) row[c.id] = *c.cells[i].number;
      else if (!c.cells[i].word.empty()) row[c.id] = c.cells[i].word;
    variants.push_back(std::move(row));
  }
  for (const auto& t : data.tests)
    claims.push_back({{"variant", data.variants[t.variant].label}, {"task", t.task}, {"difference", number_or_null(t.difference)}, {"p", number_or_null(t.p)}, {"p_holm", number_or_null(t.p_holm)},
                      {"equivalence_margin", number_or_null(t.margin)}, {"p_equivalent_holm", number_or_null(t.p_equivalent_holm)}});
  for (const auto& p : page.pictures)
    if (!p.wide.scene) omitted.push_back(p.wide.title + ": " + p.wide.missing);
  for (const auto& note : data.notes) omitted.push_back(note);
  Json reference = nullptr;
  for (const auto& v : data.variants)
    if (v.is_reference && reference.is_null()) reference = v.label;
  return {{"files", files}, {"comparison", name_of(data.comparison)}, {"records", records}, {"headline", data.headline}, {"reference", reference},
          {"variants", variants}, {"claims", claims}, {"omitted", omitted}};
}

// A report can be made again at any time: its files are renamed into place, but not forced to the disk one by one (two dozen
// fsyncs would take longer than everything else).
void write_quickly(const std::string& path, const std::string& bytes) {
  const std::string part = path + ".part";
  std::ofstream out(part, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), std::streamsize(bytes.size()));
  out.close();
  std::error_code error;
  if (out) std::filesystem::rename(part, path, error);
  if (out && !error) return;
  std::error_code ignored;
  std::filesystem::remove(part, ignored);
  throw device_error("report", path, "writing {} failed; check the free space and permissions there, or choose another --out", human_bytes(bytes.size()));
}

void make_directories(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(path_join(directory, "pictures"), error);
  if (error) throw device_error("report", directory, "cannot be made a directory: {}; choose another --out", error.message());
}
}  // namespace

ReportResult write_report(const std::vector<Json>& records, const std::string& out_directory, const ReportOptions& options) {
  make_directories(out_directory);  // a bad place is said before any work
  ReportData data = join_records(records, options);
  compare_variants(data);
  if (data.title.empty()) data.title = made_title(data);
  if (!can_draw_png()) data.notes.push_back("This teeny was built without Cairo: the pictures are SVG only.");
  Page page{data, variant_columns(data), {}};
  for (const auto& kind : picture_kinds()) page.pictures.push_back({&kind, {}, {}, "", "", "", ""});
  Context context;
  context.threads = options.threads;
  parallel_for(page.pictures.size(), context.thread_count(), [&](size_t i) { draw(page.pictures[i], data); });
  ReportResult result;
  for (const auto& renderer : renderers())
    for (const auto& file : renderer.render(page)) {
      const std::string path = path_join(out_directory, file.name);
      write_quickly(path, file.bytes);
      result.files.push_back(path);
    }
  result.summary = summary_of(data, records.size(), result.files, page);
  return result;
}

}  // namespace teeny
