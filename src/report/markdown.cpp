#include "report/format.h"
#include "report/renderers.h"

namespace teeny::report {
namespace {

void put_table(std::string& out, const TextTable& table) {
  const auto row = [&](const std::vector<std::string>& cells) {
    out += '|';
    for (const auto& c : cells) out += ' ' + escape_markdown(c) + " |";
    out += '\n';
  };
  row(table.head);
  out += '|';
  for (bool numeric : table.numeric) out += numeric ? " ---: |" : " --- |";
  out += '\n';
  for (const auto& cells : table.rows) row(cells);
  out += '\n';
}

TextTable variant_table(const Page& page) {
  TextTable out;
  for (const auto& c : page.columns) {
    if (c.csv_only) continue;
    const bool task = !c.group.empty() && c.id.starts_with(c.group);
    out.head.push_back(task ? c.group + ": " + c.title : c.title);
    out.numeric.push_back(c.numeric);
  }
  for (size_t i = 0; i < page.data.variants.size(); ++i) {
    out.rows.emplace_back();
    for (const auto& c : page.columns) {
      if (c.csv_only) continue;
      const Cell& cell = c.cells[i];
      const bool detail = !cell.detail.empty() && c.id != "variant";
      out.rows.back().push_back(detail ? fmt::format("{} ({})", cell.text, cell.detail) : cell.text);
    }
  }
  return out;
}

void put_pictures(std::string& out, const Page& page) {
  for (const auto& p : page.pictures) {
    if (!p.wide.scene) continue;
    const std::string extension = p.png.empty() ? "svg" : "png";
    out += fmt::format("### {}\n\n![{}](pictures/{}.{})\n\n{}\n\n", escape_markdown(p.wide.title), escape_markdown(p.wide.title), p.kind->id, extension, escape_markdown(p.wide.caption));
  }
}

void put_list(std::string& out, const char* title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  out += fmt::format("## {}\n\n", title);
  for (const auto& line : lines) out += "- " + escape_markdown(line) + "\n";
  out += '\n';
}
}  // namespace

std::vector<OutputText> render_markdown(const Page& page) {
  const ReportData& data = page.data;
  std::string out = "# " + escape_markdown(data.title) + "\n\n**" + escape_markdown(data.headline) + "**\n\n" + (data.caveat.empty() ? "" : escape_markdown(data.caveat) + "\n\n") + "## Variants\n\n";
  put_table(out, variant_table(page));
  if (const auto tests = test_table(data); !tests.rows.empty()) out += "## Paired tests against the reference\n\n", put_table(out, tests);
  put_list(out, "Problems gained and lost", flips(data));
  if (const auto errors = error_table(data); !errors.rows.empty()) out += "## Failed programs by category\n\n", put_table(out, errors);
  out += "## Pictures\n\n";
  put_pictures(out, page);
  if (const auto speeds = speed_table(data); !speeds.rows.empty()) out += "## Speed, every case\n\n", put_table(out, speeds);
  put_list(out, "How to read this", reading_notes(data));
  put_list(out, "Left out and noted", data.notes);
  out += "## Sources\n\n";
  put_table(out, source_table(data));
  return {{"report.md", out}};
}

}  // namespace teeny::report
