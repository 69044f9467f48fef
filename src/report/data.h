// What a report shows, joined from records. Units: bytes, seconds, tokens/s, nats; shares are 0..1.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "teeny/core/json.h"
#include "teeny/report/report.h"
#include "teeny/stats/intervals.h"

namespace teeny::report {

using Maybe = std::optional<double>;

enum class Phase { Prefill, Decode, Other };

struct SpeedCase {
  std::string name, hardware;
  bool projected = false;
  Phase phase = Phase::Other;
  uint64_t prompt = 0, generate = 0, depth = 0, batch = 1;
  Maybe median, mad, ttft_ms, p99_ms, bandwidth_fraction;  // median and mad: tokens/s
  std::optional<bool> fits;
  std::string not_run;
};

struct TaskResult {
  std::string name, metric;
  Maybe value, standard_error;
  std::optional<Interval> interval;
  uint64_t n = 0;
  std::string not_run;
  Json details, per_item;
  bool is_pass() const { return metric.starts_with("pass"); }
  bool is_perplexity() const { return name.starts_with("ppl"); }
  bool is_kld() const { return name.starts_with("kld"); }
  std::string title() const { return is_pass() ? name + " " + metric : name; }
};

struct PairedTest {
  std::string task, test, reference;
  size_t variant = 0;
  Maybe difference, p, p_holm, detectable;
  Maybe margin, p_equivalent, p_equivalent_holm;  // of the test that the two differ by less than the margin (a share)
  std::optional<Interval> interval;
  std::optional<uint64_t> gained, lost;
  std::vector<std::string> gained_ids, lost_ids;
  bool from_items = false;  // computed here from per-problem outcomes
  bool share = true;        // the difference is of a share of solved problems (higher is better), else of perplexity and the like
  bool worse() const { return difference && (share ? *difference < 0 : *difference > 0); }
};

size_t claims(const std::vector<PairedTest>& tests);  // how many have a p: of a difference, of an equivalence

struct TensorError {
  std::string name;
  int layer = -1;  // -1: outside the decoder layers
  double bytes = 0;
  double error = 0;  // relative, Frobenius
};

// How much a metric rises when this layer alone is quantized.
struct LayerSensitivity {
  std::string name, chosen;  // chosen: the encoding that mixed precision gave it
  double value = 0;          // at the variant's sensitivity_encoding
  double at_chosen = 0;
};

struct Variant {
  std::string label, series;        // shown; the series decides colour and grouping
  std::string name, path, family, method, format, type, group, hardware, symmetry, fingerprint;
  uint64_t parameters = 0;
  Maybe bits, bytes, bits_per_weight, act_bits;
  bool is_reference = false;
  int reference = -1;               // index of the variant that it is compared with
  std::string source_path;          // of the model it was quantized from
  Maybe peak_memory;                // of the device when one was used, else of the host
  bool peak_on_device = false;
  std::string energy_source;
  Maybe joules_per_token;
  std::vector<SpeedCase> cases;
  std::vector<TaskResult> tasks;
  std::vector<PairedTest> tests;
  std::map<std::string, double> errors;
  std::vector<TensorError> tensors;
  std::vector<LayerSensitivity> sensitivity;
  std::string sensitivity_metric, sensitivity_encoding;  // the encoding that all layers are compared at; empty: each its own
  std::string sandbox;

  const TaskResult* task(const std::string& title) const;
  const TaskResult* perplexity() const;
  const TaskResult* kld() const;
  Maybe top1() const;
  const SpeedCase* speed(Phase phase) const;  // the case that all variants are compared by, set by choose_cases
  int chosen_prefill = -1, chosen_decode = -1;
};

struct Source {  // one record, for the page's provenance table
  std::string id, command, started, machine, version, label;
  double seconds = 0;
};

struct ReportData {
  std::string title, headline, caveat, subject;
  Comparison comparison = Comparison::Methods;
  std::vector<Variant> variants;
  std::vector<PairedTest> tests;         // of all variants, Holm-adjusted together
  std::vector<std::string> code_tasks;   // titles of pass@k tasks with a value somewhere
  std::vector<std::string> series;       // in order of appearance: index is the colour
  std::vector<Source> sources;
  std::vector<std::string> notes;        // what was left out, superseded or warned of
  std::string prefill_case, decode_case; // what the compared speeds are, e.g. "128 tokens generated, batch 1"

  const Variant* reference_of(const Variant& v) const { return v.reference < 0 ? nullptr : &variants[size_t(v.reference)]; }
};

ReportData join_records(const std::vector<Json>& records, const ReportOptions& options);  // join.cpp
void name_variants(ReportData& data);                                                     // labels.cpp: order, labels, series
void compare_variants(ReportData& data);                                                  // compare.cpp: references, tests, Holm
std::string headline(const ReportData& data);                                             // headline.cpp
std::string caveat(const ReportData& data);                                               // what the headline does not say

struct Tile {
  std::string value, label, detail;
};
const Variant* recommended(const ReportData& data);         // what the headline speaks of; null: nothing to say
std::vector<Tile> key_figures(const ReportData& data);      // of the recommended variant

// Derived figures, nullopt when a part is missing. Shares: 0.75 = 75 %.
Maybe size_reduction(const ReportData& data, const Variant& v);
Maybe memory_reduction(const ReportData& data, const Variant& v);
Maybe speedup(const ReportData& data, const Variant& v);
Maybe retention(const ReportData& data, const Variant& v, const TaskResult& task);  // of the reference's score
const PairedTest* test_of(const Variant& v, const std::string& task);

}  // namespace teeny::report
