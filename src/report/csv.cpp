// Numbers in full precision, one header line, the unit in the column's name. Empty: not known.
#include "report/format.h"
#include "report/renderers.h"

namespace teeny::report {
namespace {
void put_row(std::string& out, const std::vector<std::string>& cells) {
  for (size_t i = 0; i < cells.size(); ++i) out += (i ? "," : "") + cells[i];
  out += "\r\n";
}
std::string plain(const Maybe& v) { return v ? fmt::format("{}", *v) : ""; }

std::string variants_csv(const Page& page) {
  std::string out;
  std::vector<std::string> cells;
  for (const auto& c : page.columns) cells.push_back(csv_cell(c.id));
  put_row(out, cells);
  for (size_t i = 0; i < page.data.variants.size(); ++i) {
    cells.clear();
    for (const auto& c : page.columns) cells.push_back(c.cells[i].number ? plain(c.cells[i].number) : csv_cell(c.cells[i].word));
    put_row(out, cells);
  }
  return out;
}

std::string speed_csv(const ReportData& data) {
  std::string out;
  put_row(out, {"variant", "kind", "hardware", "case", "prompt", "generate", "depth", "batch", "tokens_per_s", "mad", "ttft_ms", "token_p99_ms", "bandwidth_fraction"});
  for (const auto& v : data.variants)
    for (const auto& c : v.cases)
      put_row(out, {csv_cell(v.label), c.projected ? "projected" : "measured", csv_cell(c.hardware), csv_cell(c.name), std::to_string(c.prompt), std::to_string(c.generate),
                    std::to_string(c.depth), std::to_string(c.batch), plain(c.median), plain(c.mad), plain(c.ttft_ms), plain(c.p99_ms), plain(c.bandwidth_fraction)});
  return out;
}

std::string tests_csv(const ReportData& data) {
  std::string out;
  put_row(out, {"variant", "task", "reference", "test", "difference", "ci95_low", "ci95_high", "gained", "lost", "p", "p_holm", "detectable_difference", "equivalence_margin", "p_equivalent", "p_equivalent_holm"});
  const auto count = [](const std::optional<uint64_t>& n) { return n ? std::to_string(*n) : std::string(); };
  for (const auto& t : data.tests)
    put_row(out, {csv_cell(data.variants[t.variant].label), csv_cell(t.task), csv_cell(t.reference), csv_cell(t.test), plain(t.difference),
                  t.interval ? plain(t.interval->low) : "", t.interval ? plain(t.interval->high) : "", count(t.gained), count(t.lost), plain(t.p), plain(t.p_holm), plain(t.detectable), plain(t.margin),
                  plain(t.p_equivalent), plain(t.p_equivalent_holm)});
  return out;
}
}  // namespace

std::vector<OutputText> render_csv(const Page& page) {
  std::vector<OutputText> out{{"variants.csv", variants_csv(page)}};
  bool cases = false;
  for (const auto& v : page.data.variants) cases = cases || !v.cases.empty();
  if (cases) out.push_back({"speed.csv", speed_csv(page.data)});
  if (!page.data.tests.empty()) out.push_back({"tests.csv", tests_csv(page.data)});
  return out;
}

}  // namespace teeny::report
