// One page that opens anywhere: no script, no network (the policy forbids both), every text escaped.
#include <algorithm>

#include "report/format.h"
#include "report/html_style.h"
#include "report/renderers.h"
#include "teeny/core/version.h"

namespace teeny::report {
namespace {
using Tone = Cell::Tone;

std::string colour_variables(bool dark) {
  std::string out;
  for (size_t i = 1; i < kColours.size(); ++i) fmt::format_to(std::back_inserter(out), "--{}:#{:06x};", kColours[i].name, dark ? kColours[i].dark : kColours[i].light);
  return out + (dark ? "--tint:#1e252e;" : "--tint:#f5f7fa;");
}

std::string head(const ReportData& data) {
  return "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>" +
         escape_html(data.title) + "</title>\n<style>:root{color-scheme:light dark;" + colour_variables(false) + "}@media (prefers-color-scheme:dark){:root{" + colour_variables(true) + "}}" +
         kStyle + "</style>\n</head>\n<body>\n<main>\n";
}

bool is_sample(const ReportData& data) {
  return std::any_of(data.notes.begin(), data.notes.end(), [](const std::string& n) { return n.find("sample data") != std::string::npos; });
}

std::string opening(const ReportData& data) {
  const std::string from = data.sources.empty() ? "" : data.sources.front().started.substr(0, 10), to = data.sources.empty() ? "" : data.sources.back().started.substr(0, 10);
  std::string out = "<header>\n<p class=\"kicker\">teeny report \u00b7 " + fmt::format("{} record{}, ", data.sources.size(), data.sources.size() == 1 ? "" : "s") +
                    escape_html(from == to ? from : from + " to " + to) + "</p>\n<h1>" + escape_html(data.title) + "</h1>\n<p class=\"headline\">" + escape_html(data.headline) + "</p>\n";
  if (!data.caveat.empty()) out += "<p class=\"caveat\">" + escape_html(data.caveat) + "</p>\n";
  const auto tiles = key_figures(data);
  if (tiles.size() > 1) {
    out += "<ul class=\"tiles\">\n";
    for (const auto& t : tiles) out += "<li><b>" + escape_html(t.value) + "</b><span>" + escape_html(t.label) + "</span><small>" + escape_html(t.detail) + "</small></li>\n";
    out += "</ul>\n";
  }
  if (is_sample(data)) out += "<p class=\"notice\">Invented sample data: nothing on this page was measured.</p>\n";
  return out + "</header>\n";
}

const char* tone_class(Tone tone) {
  constexpr const char* names[] = {"", "good", "bad", "quiet"};
  return names[size_t(tone)];
}

std::string cell_html(const ReportData& data, const Variant& v, const Column& column, const Cell& cell, const std::string& folded) {
  if (column.id == "variant")
    return "<td class=\"first\"><span class=\"mark\" style=\"background:var(--" + std::string(kColours[size_t(series_role(data, v.series))].name) + ")\"></span><span class=\"name\">" +
           escape_html(cell.text) + "</span><small title=\"" + escape_html(v.path) + "\">" + escape_html(v.is_reference ? "reference" : cell.detail) + "</small></td>";
  std::string out = column.numeric ? "<td class=\"n" : "<td class=\"";
  const std::string tone = tone_class(cell.tone);
  if (!tone.empty()) out += (column.numeric ? " " : "") + tone;
  out += "\">" + escape_html(cell.text.empty() ? "\u2013" : cell.text);
  const std::string detail = !folded.empty() ? folded : cell.detail;
  if (!detail.empty()) out += "<small>" + escape_html(detail) + "</small>";
  return out + "</td>";
}

// The second line of `column`: a folded column right after it.
const Column* folded_into(const Page& page, const Column* column) {
  for (size_t i = size_t(column - page.columns.data()) + 1; i < page.columns.size(); ++i) {
    if (!page.columns[i].fold.empty()) return &page.columns[i];
    if (!page.columns[i].csv_only) return nullptr;
  }
  return nullptr;
}

std::string group_row(const std::vector<const Column*>& shown) {
  std::string out = "<tr class=\"groups\">";
  for (size_t i = 0; i < shown.size();) {
    size_t span = 1;
    while (i + span < shown.size() && !shown[i]->group.empty() && shown[i + span]->group == shown[i]->group) ++span;
    const bool worth = span > 1 || (!shown[i]->group.empty() && shown[i]->id.starts_with(shown[i]->group));
    out += fmt::format("<th colspan=\"{}\">", span) + (worth ? escape_html(shown[i]->group) : "") + "</th>";
    i += span;
  }
  return out + "</tr>\n";
}

std::string variant_table(const Page& page, const std::vector<const Column*>& shown, const char* title) {
  std::string out = fmt::format("<h3 class=\"part\">{}</h3>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n<table>\n<thead>\n", title, title) + group_row(shown) + "<tr>";
  for (const auto* c : shown) out += fmt::format("<th scope=\"col\"{}>", c->numeric ? " class=\"n\"" : "") + escape_html(c->title) + "</th>";
  out += "</tr>\n</thead>\n<tbody>\n";
  for (size_t i = 0; i < page.data.variants.size(); ++i) {
    const Variant& v = page.data.variants[i];
    out += v.is_reference ? "<tr class=\"reference\">" : "<tr>";
    for (const auto* c : shown) {
      const Column* fold = folded_into(page, c);
      const std::string folded = fold && !fold->cells[i].text.empty() ? fold->cells[i].text + fold->fold : "";
      out += cell_html(page.data, v, *c, c->cells[i], folded);
    }
    out += "</tr>\n";
  }
  return out + "</tbody>\n</table>\n</div>\n";
}

// Two tables of the same rows, so that a desktop shows each without scrolling.
std::string variant_section(const Page& page) {
  std::vector<const Column*> cost, quality;
  bool text_reached = false;
  for (const auto& c : page.columns) {
    text_reached = text_reached || c.group == "Text" || (!c.group.empty() && c.id.starts_with(c.group));
    if (c.csv_only || !c.fold.empty()) continue;
    if (c.id == "variant") quality.push_back(&c);
    (text_reached ? quality : cost).push_back(&c);
  }
  std::string out = "<section>\n<h2>All variants</h2>\n<p class=\"lead\">Each row is one model file. Reductions, retained scores and differences are against the reference, which is shaded.</p>\n" +
                    variant_table(page, cost, "What it costs");
  if (quality.size() > 1) out += variant_table(page, quality, "What it keeps");
  return out + "</section>\n";
}

std::string table_html(const TextTable& table, const char* label, const char* marked_class) {
  std::string out = fmt::format("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n<table>\n<thead><tr>", label);
  for (size_t i = 0; i < table.head.size(); ++i) out += fmt::format("<th scope=\"col\"{}>", table.numeric[i] ? " class=\"n\"" : "") + escape_html(table.head[i]) + "</th>";
  out += "</tr></thead>\n<tbody>\n";
  for (size_t r = 0; r < table.rows.size(); ++r) {
    out += table.marked[r] ? fmt::format("<tr class=\"{}\">", marked_class) : "<tr>";
    for (size_t i = 0; i < table.rows[r].size(); ++i) {
      const bool alarm = table.rows[r][i] == "significant loss";
      out += table.numeric[i] ? "<td class=\"n\">" : alarm ? "<td class=\"bad\">" : "<td>";
      out += escape_html(table.rows[r][i].empty() ? "\u2013" : table.rows[r][i]) + "</td>";
    }
    out += "</tr>\n";
  }
  return out + "</tbody>\n</table>\n</div>\n";
}

std::string test_section(const ReportData& data) {
  const auto table = test_table(data);
  if (table.rows.empty()) return "";
  std::string out = "<section>\n<h2>Is a difference more than luck?</h2>\n<p class=\"lead\">Paired tests, problem by problem, against the reference. p is adjusted for all tests of this page; "
                    "the last column is the loss that a test of this size could have seen.</p>\n" + table_html(table, "Paired tests", "");
  std::string ids;
  for (const auto& line : flips(data)) ids += "<p class=\"ids\">" + escape_html(line) + "</p>\n";
  if (!ids.empty()) out += "<details><summary>Which problems each variant gained and lost</summary>\n" + ids + "</details>\n";
  return out + "</section>\n";
}

std::string error_section(const ReportData& data) {
  const auto table = error_table(data);
  if (table.rows.empty()) return "";
  return "<section>\n<h2>Why programs failed</h2>\n<p class=\"lead\">Problems that were not solved, by the category of their first failure, for each variant and task.</p>\n" +
         table_html(table, "Failed programs by category", "") + "</section>\n";
}

std::string picture_section(const Page& page) {
  std::string out = "<section>\n<h2>Pictures</h2>\n<div class=\"figures\">\n", left_out;
  // A lone half-width picture before a full one would leave a hole beside it.
  std::vector<const DrawnPicture*> shown;
  for (const auto& p : page.pictures) {
    if (p.wide.scene) shown.push_back(&p);
    else left_out += "<li>" + escape_html(p.wide.title + " is left out: " + p.wide.missing + ".") + "</li>\n";
  }
  std::stable_partition(shown.begin(), shown.end(), [](const DrawnPicture* p) { return !p->kind->full_width; });
  for (const auto* p : shown) {
    out += fmt::format("<figure{} id=\"{}\">\n<h3>", p->kind->full_width ? " class=\"full\"" : "", p->kind->id) + escape_html(p->wide.title) + "</h3>\n<div class=\"page\">" + p->inline_wide +
           "</div>\n<div class=\"phone\">" + p->inline_narrow + "</div>\n<figcaption>" + escape_html(p->wide.caption) + "</figcaption>\n</figure>\n";
  }
  out += "</div>\n";
  if (!left_out.empty()) out += "<ul class=\"notes\">\n" + left_out + "</ul>\n";
  return out + "</section>\n";
}

std::string list_section(const char* title, const std::vector<std::string>& lines) {
  if (lines.empty()) return "";
  std::string out = fmt::format("<section>\n<h2>{}</h2>\n<ul class=\"notes\">\n", title);
  for (const auto& line : lines) out += "<li>" + escape_html(line) + "</li>\n";
  return out + "</ul>\n</section>\n";
}
}  // namespace

std::vector<OutputText> render_html(const Page& page) {
  const ReportData& data = page.data;
  std::string out = head(data) + opening(data) + variant_section(page) + picture_section(page) + test_section(data) + error_section(data);
  if (const auto speeds = speed_table(data); !speeds.rows.empty()) {
    const bool projected = std::find(speeds.marked.begin(), speeds.marked.end(), true) != speeds.marked.end();
    out += std::string("<section>\n<h2>Speed, every case</h2>\n<p class=\"lead\">") +
           (projected ? "Measured rows first; projected rows are computed for hardware that was not at hand, and are never mixed with measured ones." : "All rows are measured.") + "</p>\n" +
           table_html(speeds, "Speed, every case", "projected") + "</section>\n";
  }
  out += list_section("How to read this", reading_notes(data)) + list_section("Left out and noted", data.notes);
  out += "<section>\n<h2>Sources</h2>\n<details><summary>" + fmt::format("{} record{} this page is made from", data.sources.size(), data.sources.size() == 1 ? "" : "s") + "</summary>\n" +
         table_html(source_table(data), "Sources", "") + "</details>\n</section>\n<footer>Made by teeny " + escape_html(version_info().version) +
         " from result records only. The same figures: report.md, variants.csv, pictures/.</footer>\n</main>\n</body>\n</html>\n";
  return {{"report.html", std::move(out)}};
}

}  // namespace teeny::report
