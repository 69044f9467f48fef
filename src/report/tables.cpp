#include <algorithm>
#include <map>
#include <set>

#include <fmt/ranges.h>

#include "report/format.h"
#include "report/renderers.h"

namespace teeny::report {
namespace {
std::string maybe(Maybe v, int significant = 3) { return v ? decimals(*v, significant) : ""; }
std::string count(const std::optional<uint64_t>& n) { return n ? std::to_string(*n) : ""; }

const char* interval_verdict(const PairedTest& t) {
  if (!t.interval) return "not tested";
  const bool apart = t.interval->low > 0 || t.interval->high < 0;
  return !apart ? "interval includes 0" : t.worse() ? "interval excludes 0: worse" : "interval excludes 0: better";
}

const char* verdict(const PairedTest& t) {
  if (!t.p_holm) return interval_verdict(t);
  return *t.p_holm >= 0.05 ? "no significant difference" : t.worse() ? "significant loss" : "significant gain";
}

// Where a margin was given: whether the two are surely closer than that.
std::string equivalence(const PairedTest& t) {
  if (!t.margin || !t.p_equivalent_holm) return "";
  return fmt::format("{}, p {} (±{:.3g} pt)", *t.p_equivalent_holm <= 0.05 ? "shown" : "not shown", p_value(*t.p_equivalent_holm), *t.margin * 100);
}

// A column that says the same default in every row says nothing.
void drop_column_of(TextTable& table, const char* head, const char* value) {
  const auto at = size_t(std::find(table.head.begin(), table.head.end(), head) - table.head.begin());
  if (std::any_of(table.rows.begin(), table.rows.end(), [&](const auto& row) { return row[at] != value; })) return;
  table.head.erase(table.head.begin() + ptrdiff_t(at));
  table.numeric.erase(table.numeric.begin() + ptrdiff_t(at));
  for (auto& row : table.rows) row.erase(row.begin() + ptrdiff_t(at));
}
}  // namespace

TextTable speed_table(const ReportData& data) {
  TextTable out{{"Variant", "Kind", "Hardware", "Case", "Prompt", "Generated", "Depth", "Batch", "tokens/s", "±", "1st token, ms", "p99, ms", "Bandwidth"},
                {false, false, false, false, true, true, true, true, true, true, true, true, true}, {}, {}};
  for (bool projected : {false, true})
    for (const auto& v : data.variants)
      for (const auto& c : v.cases) {
        if (c.projected != projected) continue;
        std::string speed = c.median ? decimals(*c.median) : c.not_run.empty() ? "not run" : "not run: " + clip_text(c.not_run, 60);
        if (c.fits && !*c.fits) speed += " (does not fit)";
        out.rows.push_back({v.label, projected ? "projected" : "measured", clip_text(c.hardware, 40), clip_text(c.name, 24), std::to_string(c.prompt), std::to_string(c.generate),
                            std::to_string(c.depth), std::to_string(c.batch), speed, maybe(c.mad, 2), maybe(c.ttft_ms), maybe(c.p99_ms),
                            c.bandwidth_fraction ? percent(*c.bandwidth_fraction, 0) : ""});
        out.marked.push_back(projected);
      }
  drop_column_of(out, "Depth", "0");
  drop_column_of(out, "Bandwidth", "");
  return out;
}

TextTable test_table(const ReportData& data) {
  TextTable out{{"Variant", "Task", "Difference", "95 % interval", "Gained", "Lost", "p", "p (Holm)", "Verdict", "Equivalence", "Could have seen"},
                {false, false, true, true, true, true, true, true, false, false, true}, {}, {}};
  for (const auto& t : data.tests) {
    const bool bad = t.p_holm && *t.p_holm < 0.05 && t.worse();
    const auto show = [&](double d) { return t.share ? signed_points(d) : fmt::format("{}{}", d > 0 ? "+" : "", decimals(d)); };
    out.rows.push_back({data.variants[t.variant].label, clip_text(t.task, 40), t.difference ? show(*t.difference) : "",
                        t.interval ? show(t.interval->low) + " to " + show(t.interval->high) : "", count(t.gained), count(t.lost), t.p ? p_value(*t.p) : "",
                        t.p_holm ? p_value(*t.p_holm) : "", verdict(t), equivalence(t),
                        t.detectable && t.share ? fmt::format("{:.1f} pt", *t.detectable * 100) : ""});
    out.marked.push_back(bad);
  }
  drop_column_of(out, "Equivalence", "");
  return out;
}

TextTable error_table(const ReportData& data) {
  // By problem, from the outcomes: the category of a problem's first failure.
  const auto failures = [](const TaskResult& task) {
    std::map<std::string, uint64_t> out;
    for (const Json& item : task.per_item) {
      if (!item.is_object() || !item.contains("category") || !item["category"].is_string()) continue;
      const auto passed = item.find("passed");
      if (passed != item.end() && passed->is_boolean() && !passed->get<bool>()) ++out[item["category"].get<std::string>()];
    }
    return out;
  };
  std::map<std::string, uint64_t> totals;
  for (const auto& v : data.variants)
    for (const auto& t : v.tasks)
      if (t.is_pass())
        for (const auto& [category, n] : failures(t)) totals[category] += n;
  std::vector<std::string> categories;
  for (const auto& [category, n] : totals) categories.push_back(category);
  std::stable_sort(categories.begin(), categories.end(), [&](const auto& a, const auto& b) { return totals[a] > totals[b]; });
  TextTable out{{"Variant", "Task", "Problems", "Failed"}, {false, false, true, true}, {}, {}};
  for (const auto& category : categories) out.head.push_back(clip_text(category, 40)), out.numeric.push_back(true);
  if (categories.empty()) return out;
  for (const auto& v : data.variants)
    for (const auto& t : v.tasks) {
      if (!t.is_pass() || !t.value || t.per_item.empty()) continue;
      const auto found = failures(t);
      uint64_t sum = 0;
      for (const auto& [category, n] : found) sum += n;
      std::vector<std::string> row{v.label, clip_text(t.name, 40), std::to_string(t.n), std::to_string(sum)};
      for (const auto& category : categories) row.push_back(found.contains(category) ? std::to_string(found.at(category)) : "0");
      out.rows.push_back(std::move(row));
      out.marked.push_back(false);
    }
  return out;
}

std::vector<std::string> flips(const ReportData& data) {
  const auto list = [](const std::vector<std::string>& names) {
    constexpr size_t kShown = 200;
    const std::string text = fmt::format("{}", fmt::join(names.begin(), names.begin() + ptrdiff_t(std::min(names.size(), kShown)), ", "));
    return names.empty() ? std::string("none") : names.size() > kShown ? text + fmt::format(" and {} more", names.size() - kShown) : text;
  };
  std::vector<std::string> out;
  for (const auto& t : data.tests)
    if (!t.gained_ids.empty() || !t.lost_ids.empty()) out.push_back(data.variants[t.variant].label + ", " + t.task + ". Gained: " + list(t.gained_ids) + ". Lost: " + list(t.lost_ids) + ".");
  return out;
}

TextTable source_table(const ReportData& data) {
  TextTable out{{"Record", "Command", "Model", "Started (UTC)", "Seconds", "Machine", "teeny"}, {false, false, false, false, true, false, false}, {}, {}};
  for (const auto& s : data.sources) {
    out.rows.push_back({clip_text(s.id, 64), clip_text(s.command, 16), clip_text(s.label, 40), clip_text(s.started, 24), decimals(s.seconds), clip_text(s.machine, 40), clip_text(s.version, 16)});
    out.marked.push_back(false);
  }
  return out;
}

std::vector<std::string> reading_notes(const ReportData& data) {
  std::vector<std::string> out;
  if (!data.decode_case.empty() || !data.prefill_case.empty()) {
    std::string text = "Speeds in the main table are measured medians ± median absolute deviation.";
    if (!data.prefill_case.empty()) text += " Prefill: " + data.prefill_case + ".";
    if (!data.decode_case.empty()) text += " Decode: " + data.decode_case + ".";
    out.push_back(text);
  }
  if (!data.tests.empty()) {
    out.push_back(fmt::format("p values are of paired tests (McNemar, exact, where not said otherwise), adjusted by Holm over all {} claims of this report. \"Not significant\" is not "
                              "\"no loss\": beside each test stands the difference that it could have detected.", claims(data.tests)));
  }
  const auto any = [&](auto has) { return std::any_of(data.variants.begin(), data.variants.end(), has); };
  if (!data.code_tasks.empty()) out.push_back("Intervals of pass@k are 95 % (Wilson for one greedy sample a problem). Retained is the score as a share of the reference's.");
  if (any([](const Variant& v) { return v.perplexity() != nullptr; }))
    out.push_back("Perplexity of a quantized model may fall below the original's by chance; the KL divergence from the original is the stricter measure.");
  if (any([](const Variant& v) { return v.energy_source == "rapl"; })) out.push_back("Energy from RAPL counts the CPU packages only.");
  std::set<std::string> tiers;
  for (const auto& v : data.variants)
    if (!v.sandbox.empty()) tiers.insert(v.sandbox);
  for (const auto& tier : tiers)
    out.push_back(tier == "unsandboxed" ? "Warning: generated programs ran without any sandbox (--i-accept-unsandboxed): they could have reached everything that teeny could, its verdicts included."
                                        : "Generated programs ran in the sandbox tier \"" + clip_text(tier, 60) + "\".");
  return out;
}

const std::vector<Renderer>& renderers() {
  static const std::vector<Renderer> list{
      {"html", render_html}, {"markdown", render_markdown}, {"csv", render_csv}, {"svg", render_svg}, {"png", render_png},
  };
  return list;
}

std::vector<OutputText> render_svg(const Page& page) {
  std::vector<OutputText> out;
  for (const auto& p : page.pictures)
    if (p.wide.scene) out.push_back({std::string("pictures/") + p.kind->id + ".svg", p.svg});
  return out;
}

std::vector<OutputText> render_png(const Page& page) {
  std::vector<OutputText> out;
  for (const auto& p : page.pictures)
    if (!p.png.empty()) out.push_back({std::string("pictures/") + p.kind->id + ".png", p.png});
  return out;
}

}  // namespace teeny::report
