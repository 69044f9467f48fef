// Renderers: each turns the report into files. One line a renderer in registry().
#pragma once
#include <string>
#include <vector>

#include "report/columns.h"
#include "report/data.h"
#include "report/pictures/picture.h"

namespace teeny::report {

struct DrawnPicture {
  const PictureKind* kind = nullptr;
  Picture wide, narrow;                        // laid out for pages and for phones
  std::string inline_wide, inline_narrow, svg, png;  // drawn in parallel before any renderer runs; png empty without Cairo
};

struct Page {
  const ReportData& data;
  std::vector<Column> columns;
  std::vector<DrawnPicture> pictures;
};

struct OutputText {
  std::string name;   // relative to the output directory
  std::string bytes;
};

struct Renderer {
  const char* id;
  std::vector<OutputText> (*render)(const Page& page);
};

const std::vector<Renderer>& renderers();

std::vector<OutputText> render_html(const Page& page);
std::vector<OutputText> render_markdown(const Page& page);
std::vector<OutputText> render_csv(const Page& page);
std::vector<OutputText> render_svg(const Page& page);
std::vector<OutputText> render_png(const Page& page);

// Parts that the page and the Markdown share: tables as text.
struct TextTable {
  std::vector<std::string> head;
  std::vector<bool> numeric;
  std::vector<std::vector<std::string>> rows;
  std::vector<bool> marked;  // rows to set apart (projected)
};
TextTable speed_table(const ReportData& data);
TextTable test_table(const ReportData& data);
TextTable error_table(const ReportData& data);  // failed problems by category, a row a variant and task (so also a language)
std::vector<std::string> flips(const ReportData& data);  // the problems that each variant gained and lost, a line a test
TextTable source_table(const ReportData& data);
std::vector<std::string> reading_notes(const ReportData& data);  // how to read the figures

}  // namespace teeny::report
