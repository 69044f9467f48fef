#include <cmath>

#include <fmt/format.h>

#include "cli/output.h"
#include "cli/render.h"
#include "cli/resolve.h"
#include "cli/text.h"

namespace teeny::cli {
namespace {

bool is_share(const std::string& metric) { return metric.rfind("pass@", 0) == 0 || metric == "accuracy"; }

std::string shown(double value, bool share) { return share ? percent(value) : significant(value, 5); }

std::string interval(const Json& entry, bool share) {
  const Json* ci = find(entry, {"ci95"});
  if (!ci || !ci->is_array() || ci->size() != 2 || !(*ci)[0].is_number() || !(*ci)[1].is_number()) return "-";
  return shown((*ci)[0].get<double>(), share) + " to " + shown((*ci)[1].get<double>(), share);
}

std::string count_of(const Json& entry, const char* key) {
  const Json* found = find(entry, {key});
  if (!found) return "-";
  return found->is_array() ? std::to_string(found->size()) : found->dump();
}

std::string task_table(const Json& tasks) {
  Table table({"task", "metric", "value", "95 % interval", "n", "note"});
  for (const auto& task : tasks) {
    const std::string metric = text_at(task, {"metric"});
    const Json* value = find(task, {"value"});
    table.add({text_at(task, {"name"}), metric, value && value->is_number() ? shown(value->get<double>(), is_share(metric)) : "-", interval(task, is_share(metric)),
               thousands(int64_t(number_at(task, {"n"}, 0))), text_at(task, {"not_run"})});
  }
  return table.str();
}

std::string comparison_lines(const Json& record, const Json& comparisons) {
  std::string out;
  for (const auto& line : comparisons) {
    const std::string task = text_at(line, {"task"});
    bool share = false;
    for (const auto& entry : record["eval"]["tasks"])
      if (text_at(entry, {"name"}) == task) share = is_share(text_at(entry, {"metric"}));
    const Json* difference = find(line, {"difference"});
    if (!difference || !difference->is_number()) continue;
    const double value = difference->get<double>();
    const Json* ci = find(line, {"ci95"});
    out += fmt::format("  {} against {}: {}{}{}", task, model_stem(text_at(line, {"reference"})), value > 0 ? "+" : "", share ? fmt::format("{:.1f} points", value * 100) : significant(value, 4),
                       ci ? " (95 %: " + interval(line, share) + ")" : "");
    if (const double p = number_at(line, {"p"}, -1); p >= 0) {
      out += fmt::format(", {} p = {:.3g}", text_at(line, {"test"}, "test"), p);
      if (const double holm = number_at(line, {"p_holm"}, -1); holm >= 0) out += fmt::format(" ({:.3g} after Holm)", holm);
    }
    if (share) out += fmt::format(", gained {}, lost {}", count_of(line, "gained"), count_of(line, "lost"));
    if (const double detectable = number_at(line, {"detectable_difference"}, -1); detectable >= 0)
      out += ", detectable from " + (share ? fmt::format("{:.1f} points", detectable * 100) : significant(detectable, 3));
    if (const Json* test = find(line, {"details", "equivalence"})) {
      const double p = number_at(*test, {"p_holm"}, number_at(*test, {"p"}, -1)), margin = 100 * number_at(*test, {"margin"}, 0);
      if (p >= 0) out += fmt::format("; {} within {:g} points (p = {:.3g})", p <= 0.05 ? "equivalent" : "not shown to be equivalent", margin, p);
    }
    out += "\n";
  }
  return out.empty() ? "" : "\n" + out;
}

}  // namespace

std::string render_eval(const Json& record, bool colour) {
  std::string out = style(colour, kBold, text_at(record, {"model", "name"}, "completions"));
  if (const double bits = number_at(record, {"model", "bits_per_weight"}, -1); bits >= 0) out += fmt::format("  {:.3f} bits per weight", bits);
  out += "\n\n";
  if (const Json* tasks = find(record, {"eval", "tasks"})) {
    out += task_table(*tasks);
    if (const Json* comparisons = find(record, {"eval", "comparison"})) out += comparison_lines(record, *comparisons);
  }
  if (const Json* errors = find(record, {"eval", "errors"}); errors && errors->is_object() && !errors->empty()) {
    std::string list;
    for (const auto& [category, count] : errors->items()) list += fmt::format("{}{} {}", list.empty() ? "" : ", ", category, count.dump());
    out += "\n  failed programs: " + list + "\n";
  }
  if (const auto tier = text_at(record, {"eval", "sandbox", "tier"}); !tier.empty())
    out += "  sandbox: " + (tier == "unsandboxed" ? style(colour, kRed, "none: programs ran unsandboxed (--i-accept-unsandboxed)") : tier) + "\n";
  return out + "  time: " + duration(number_at(record, {"seconds"}, 0)) + "\n";
}

}  // namespace teeny::cli
