#include "report/columns.h"

#include <algorithm>
#include <functional>

#include "report/format.h"
#include "teeny/core/file.h"

namespace teeny::report {
namespace {
using Tone = Cell::Tone;
using Make = std::function<Cell(const Variant&)>;

class Table {
 public:
  explicit Table(const ReportData& data) : data_(data) {}

  void add(const char* group, std::string id, std::string title, const Make& make, bool numeric = true, bool always = false, bool csv_only = false) {
    Column column{std::move(id), std::move(title), group, numeric, csv_only, "", {}};
    bool any = always;
    for (const auto& v : data_.variants) {
      column.cells.push_back(make(v));
      any = any || column.cells.back().number || !column.cells.back().word.empty();
    }
    if (any) columns.push_back(std::move(column));
  }
  // The column just added becomes the second line of the one before it, where there is little room.
  void fold(const char* id, const char* suffix) {
    if (columns.size() > 1 && columns.back().id.ends_with(id)) columns.back().fold = suffix;
  }
  void csv(std::string id, const Make& make, bool numeric = true) { add("", id, id, make, numeric, false, true); }

  std::vector<Column> columns;

 private:
  const ReportData& data_;
};

Cell number(Maybe value, const std::function<std::string(double)>& show, std::string detail = "") {
  if (!value) return {};
  return {show(*value), std::move(detail), value, "", Tone::Plain};
}
Cell word(const std::string& text) { return {text, "", {}, text, Tone::Plain}; }
std::string bytes_text(double b) { return human_bytes(uint64_t(std::max(0.0, b))); }

std::string range_text(const std::optional<Interval>& i, bool share) {
  if (!i) return "";
  return share ? fmt::format("{:.1f}–{:.1f}", i->low * 100, i->high * 100) : fmt::format("{}–{}", decimals(i->low, 2), decimals(i->high, 2));
}

Cell missing_task(const TaskResult* t) {
  if (!t || t->not_run.empty()) return {};
  return {"not run", clip_text(t->not_run, 60), {}, "not run: " + t->not_run, Tone::Quiet};
}

void add_identity(Table& table) {
  table.add("", "variant", "Variant", [](const Variant& v) { return Cell{v.label, clip_text(v.name, 40), {}, v.label, Tone::Plain}; }, false, true);
  table.csv("model", [](const Variant& v) { return word(v.name); }, false);
  table.csv("path", [](const Variant& v) { return word(v.path); }, false);
  table.csv("reference", [](const Variant& v) { return word(v.is_reference ? "yes" : "no"); }, false);
  table.add("", "method", "Method", [](const Variant& v) { return v.method.empty() ? Cell{"–", "", {}, "", Tone::Quiet} : word(v.type.empty() ? v.method : v.method + " " + v.type); }, false);
  table.add("", "format", "Format", [](const Variant& v) { return word(v.format); }, false);
  table.fold("format", " ");
}

void add_compression(Table& table, const ReportData& data) {
  const char* group = "Compression";
  table.add(group, "bits", "Bits", [](const Variant& v) {
    return number(v.bits, [](double b) { return fmt::format("{:g}", b); }, v.group.empty() ? "" : v.group == "-1" ? "row" : "group " + v.group);
  });
  table.csv("group", [](const Variant& v) { return word(v.group); }, false);
  table.add(group, "bits_per_weight", "Bits per weight", [](const Variant& v) { return number(v.bits_per_weight, [](double b) { return fmt::format("{:.2f}", b); }); });
  table.add(group, "size_bytes", "Size", [](const Variant& v) { return number(v.bytes, bytes_text); });
  table.add(group, "size_reduction_percent", "Size reduction", [&](const Variant& v) {
    const auto r = size_reduction(data, v);
    return number(r ? Maybe(*r * 100) : r, [](double x) { return percent(x / 100); });
  });
  table.fold("size_reduction_percent", " less");
}

void add_cost(Table& table, const ReportData& data) {
  const char* group = "Memory";
  table.add(group, "peak_memory_bytes", "Peak memory", [](const Variant& v) { return number(v.peak_memory, bytes_text, v.peak_on_device ? "GPU" : "host"); });
  table.add(group, "memory_reduction_percent", "Memory reduction", [&](const Variant& v) {
    const auto r = memory_reduction(data, v);
    return number(r ? Maybe(*r * 100) : r, [](double x) { return percent(x / 100); });
  });
  table.fold("memory_reduction_percent", " less");
  const auto speed = [](Phase phase) {
    return [phase](const Variant& v) -> Cell {
      const SpeedCase* c = v.speed(phase);
      return c ? number(c->median, [](double x) { return decimals(x); }, c->mad ? "± " + decimals(*c->mad, 2) : "") : Cell{};
    };
  };
  const auto spread = [](Phase phase) {
    return [phase](const Variant& v) { return v.speed(phase) ? number(v.speed(phase)->mad, [](double x) { return decimals(x); }) : Cell{}; };
  };
  table.add("Speed, tokens/s", "prefill_tokens_per_s", "Prefill", speed(Phase::Prefill));
  table.csv("prefill_mad", spread(Phase::Prefill));
  table.add("Speed, tokens/s", "decode_tokens_per_s", "Decode", speed(Phase::Decode));
  table.csv("decode_mad", spread(Phase::Decode));
  table.csv("decode_speedup", [&](const Variant& v) { return number(speedup(data, v), [](double x) { return decimals(x); }); });
  const bool benched = std::any_of(data.variants.begin(), data.variants.end(), [](const Variant& v) { return !v.cases.empty(); });
  table.add("Energy", "joules_per_token", "Energy", [](const Variant& v) {
    if (v.joules_per_token) return number(v.joules_per_token, [](double x) { return decimals(x) + " J/token"; }, v.energy_source);
    return Cell{"not measured", "", {}, "not measured", Tone::Quiet};
  }, true, benched);
}

void add_text_quality(Table& table, const ReportData& data) {
  const char* group = "Text";
  table.add(group, "perplexity", "Perplexity", [](const Variant& v) {
    const auto* t = v.perplexity();
    return t ? number(t->value, [](double x) { return decimals(x, 4); }, t->interval ? fmt::format("{}–{}", decimals(t->interval->low), decimals(t->interval->high)) : "") : Cell{};
  });
  table.csv("perplexity_retention_percent", [&](const Variant& v) {
    const auto* t = v.perplexity();
    const auto r = t ? retention(data, v, *t) : Maybe();
    return number(r ? Maybe(*r * 100) : r, [](double x) { return decimals(x); });
  });
  table.add(group, "kld_nats", "KL divergence", [](const Variant& v) {
    const auto* t = v.kld();
    return t ? number(t->value, nats, range_text(t->interval, false)) : Cell{};
  });
  for (bool high : {false, true})
    table.csv(high ? "kld_ci95_high" : "kld_ci95_low", [high](const Variant& v) {
      const auto* t = v.kld();
      return t && t->interval ? number(high ? t->interval->high : t->interval->low, [](double x) { return decimals(x); }) : Cell{};
    });
  table.add(group, "top1_agreement_percent", "Same top token", [](const Variant& v) {
    const auto t = v.top1();
    return number(t ? Maybe(*t * 100) : t, [](double x) { return percent(x / 100); });
  });
}

Cell test_cell(const Variant& v, const std::string& title) {
  const PairedTest* t = test_of(v, title);
  if (!t || !t->difference) return {};
  Cell cell{signed_points(*t->difference), "", *t->difference * 100, "", Tone::Plain};
  if (t->p_holm) {
    cell.detail = "p " + p_value(*t->p_holm);
    const bool significant = *t->p_holm < 0.05;
    cell.tone = !significant ? Tone::Quiet : *t->difference < 0 ? Tone::Bad : Tone::Good;
  }
  return cell;
}

void add_task(Table& table, const ReportData& data, const std::string& title) {
  table.add(title.c_str(), title + "_percent", "Score", [&](const Variant& v) {
    const auto* t = v.task(title);
    if (!t || !t->value) return missing_task(t);
    return number(*t->value * 100, [](double x) { return percent(x / 100); }, range_text(t->interval, true));
  });
  for (bool high : {false, true})
    table.csv(title + (high ? "_ci95_high" : "_ci95_low"), [&, high](const Variant& v) {
      const auto* t = v.task(title);
      return t && t->interval ? number((high ? t->interval->high : t->interval->low) * 100, [](double x) { return decimals(x); }) : Cell{};
    });
  table.add(title.c_str(), title + "_retention_percent", "Retained", [&](const Variant& v) {
    const auto* t = v.task(title);
    const auto r = t ? retention(data, v, *t) : Maybe();
    return number(r ? Maybe(*r * 100) : r, [](double x) { return percent(x / 100); });
  });
  table.add(title.c_str(), title + "_flips", "Gained / lost", [&](const Variant& v) -> Cell {
    const PairedTest* t = test_of(v, title);
    if (!t || !t->gained || !t->lost) return {};
    return {fmt::format("+{} / \u2212{}", *t->gained, *t->lost), "", {}, fmt::format("+{}/-{}", *t->gained, *t->lost), Tone::Plain};
  });
  table.add(title.c_str(), title + "_difference_points", "Difference", [&](const Variant& v) { return test_cell(v, title); });
  table.csv(title + "_p_holm", [&](const Variant& v) {
    const PairedTest* t = test_of(v, title);
    return t ? number(t->p_holm, [](double x) { return decimals(x); }) : Cell{};
  });
  const auto counts = [&](bool gained) {
    return [&, gained](const Variant& v) {
      const PairedTest* t = test_of(v, title);
      const auto n = t ? (gained ? t->gained : t->lost) : std::nullopt;
      return number(n ? Maybe(double(*n)) : std::nullopt, [](double x) { return fmt::format("{:.0f}", x); });
    };
  };
  table.csv(title + "_gained", counts(true));
  table.csv(title + "_lost", counts(false));
}
}  // namespace

std::vector<Column> variant_columns(const ReportData& data) {
  Table table(data);
  add_identity(table);
  add_compression(table, data);
  add_cost(table, data);
  add_text_quality(table, data);
  for (const auto& title : data.code_tasks) add_task(table, data, title);
  return std::move(table.columns);
}

}  // namespace teeny::report
