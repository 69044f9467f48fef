// Records -> variants. Records of one model file (same name, method, bits, format, size and place) are one variant; among
// records of the same kind for one variant the latest speaks.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <set>

#include "report/data.h"
#include "teeny/core/error.h"

namespace teeny::report {
namespace {

std::string text_at(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : "";
}
Maybe number_at(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_number() ? Maybe(at->get<double>()) : std::nullopt;
}
uint64_t count_at(const Json& object, const char* key, uint64_t missing = 0) {
  const auto at = object.find(key);
  return at != object.end() && at->is_number_integer() ? at->get<uint64_t>() : missing;
}
std::optional<Interval> interval_at(const Json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_array() || at->size() != 2 || !(*at)[0].is_number() || !(*at)[1].is_number()) return std::nullopt;
  return Interval{(*at)[0].get<double>(), (*at)[1].get<double>()};
}
const Json& object_at(const Json& object, const char* key) {
  static const Json nothing = Json::object();
  const auto at = object.find(key);
  return at != object.end() && at->is_object() ? *at : nothing;
}
const Json& array_at(const Json& object, const char* key) {
  static const Json nothing = Json::array();
  const auto at = object.find(key);
  return at != object.end() && at->is_array() ? *at : nothing;
}

std::string normal_path(const std::string& path) {
  std::string out = std::filesystem::path(path).lexically_normal().generic_string();
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

// One place named twice: equal, or one path is the tail of the other (relative and absolute).
bool same_place(const std::string& a, const std::string& b) {
  if (a == b) return true;
  const auto& shorter = a.size() < b.size() ? a : b;
  const auto& longer = a.size() < b.size() ? b : a;
  return !shorter.empty() && shorter.front() != '/' && longer.ends_with("/" + shorter);
}

// What computed: the CPU, or the GPU that the command was told to use.
std::string hardware_of(const Json& record) {
  const Json& machine = record["machine"];
  const Json& gpus = array_at(machine, "gpus");
  const std::string device = text_at(record, "device");
  if (!device.starts_with("cuda") || gpus.empty()) return text_at(machine, "cpu");
  size_t index = 0;
  if (const auto colon = device.find(':'); colon != std::string::npos) std::from_chars(device.data() + colon + 1, device.data() + device.size(), index);
  return text_at(gpus[std::min(index, gpus.size() - 1)], "name");
}

Variant variant_of(const Json& model) {
  Variant v;
  v.name = text_at(model, "name");
  v.path = normal_path(text_at(model, "path"));
  v.family = text_at(model, "family");
  v.method = text_at(model, "method");
  v.format = text_at(model, "format");
  v.type = text_at(model, "type");
  v.fingerprint = text_at(model, "fingerprint");
  if (const auto group = number_at(model, "group")) v.group = fmt::format("{:g}", *group);
  if (const auto s = model.find("symmetric"); s != model.end() && s->is_boolean()) v.symmetry = s->get<bool>() ? "sym" : "asym";
  v.parameters = count_at(model, "parameters");
  v.bits = number_at(model, "bits");
  v.bytes = number_at(model, "bytes");
  v.bits_per_weight = number_at(model, "bits_per_weight");
  v.act_bits = number_at(model, "act_bits");
  return v;
}

bool same_variant(const Variant& a, const Variant& b, Comparison comparison) {
  const bool alike = a.name == b.name && a.method == b.method && a.bits == b.bits && a.format == b.format && a.type == b.type && a.group == b.group &&
                     a.symmetry == b.symmetry && a.act_bits == b.act_bits && a.bytes == b.bytes;
  if (!alike) return false;
  return comparison == Comparison::Hardware || same_place(a.path, b.path);  // other machines, other places
}

Phase phase_of(const SpeedCase& c) {
  for (const char* word : {"pp", "prefill", "prompt"})
    if (c.name.starts_with(word) && c.name.find('+') == std::string::npos) return Phase::Prefill;
  for (const char* word : {"tg", "decode", "gen"})
    if (c.name.starts_with(word)) return Phase::Decode;
  if (c.generate == 0) return Phase::Prefill;
  return c.prompt == 0 ? Phase::Decode : Phase::Other;
}

void add_bench(Variant& v, const Json& record) {
  const Json& bench = record["bench"];
  for (const Json& item : array_at(bench, "cases")) {
    SpeedCase c;
    c.name = text_at(item, "name");
    c.hardware = text_at(item, "hardware");
    if (c.hardware.empty()) c.hardware = hardware_of(record);
    c.projected = text_at(item, "kind") != "measured";  // what is not said to be measured is not
    c.prompt = count_at(item, "prompt");
    c.generate = count_at(item, "generate");
    c.depth = count_at(item, "depth");
    c.batch = count_at(item, "batch", 1);
    c.median = number_at(item, "median");
    c.mad = number_at(item, "mad");
    c.ttft_ms = number_at(item, "ttft_ms");
    c.p99_ms = number_at(object_at(item, "token_latency_ms"), "p99");
    c.bandwidth_fraction = number_at(item, "bandwidth_fraction");
    if (const auto f = item.find("fits"); f != item.end() && f->is_boolean()) c.fits = f->get<bool>();
    c.not_run = text_at(item, "not_run");
    c.phase = phase_of(c);
    const auto old = std::find_if(v.cases.begin(), v.cases.end(), [&](const SpeedCase& o) {
      return std::tie(o.name, o.hardware, o.projected, o.prompt, o.generate, o.depth, o.batch) ==
             std::tie(c.name, c.hardware, c.projected, c.prompt, c.generate, c.depth, c.batch);
    });
    old == v.cases.end() ? v.cases.push_back(c) : void(*old = c);
  }
  const double device = number_at(bench, "peak_device_bytes").value_or(0);
  v.peak_on_device = device > 0;
  if (const auto peak = device > 0 ? Maybe(device) : number_at(bench, "peak_host_bytes"); peak && *peak > 0) v.peak_memory = peak;
  const Json& energy = object_at(bench, "energy");
  v.energy_source = text_at(energy, "source");
  v.joules_per_token = number_at(energy, "joules_per_token");
  v.hardware = hardware_of(record);
}

PairedTest test_from(const Json& item) {
  PairedTest t;
  t.task = text_at(item, "task");
  t.test = text_at(item, "test");
  t.reference = normal_path(text_at(item, "reference"));
  t.difference = number_at(item, "difference");
  t.interval = interval_at(item, "ci95");
  t.p = number_at(item, "p");
  t.detectable = number_at(item, "detectable_difference");
  const Json& equivalence = object_at(object_at(item, "details"), "equivalence");
  t.margin = number_at(equivalence, "margin");
  t.p_equivalent = number_at(equivalence, "p");
  const auto ids = [&](const char* key, std::optional<uint64_t>& n, std::vector<std::string>& names) {
    const auto at = item.find(key);
    if (at == item.end()) return;
    if (at->is_number_integer()) n = at->get<uint64_t>();
    if (!at->is_array()) return;
    n = at->size();
    for (const Json& one : *at) names.push_back(one.is_string() ? one.get<std::string>() : one.dump(-1, ' ', false, Json::error_handler_t::replace));
  };
  ids("gained", t.gained, t.gained_ids);
  ids("lost", t.lost, t.lost_ids);
  return t;
}

void keep_task(Variant& v, TaskResult t) {
  const auto old = std::find_if(v.tasks.begin(), v.tasks.end(), [&](const TaskResult& o) { return o.title() == t.title(); });
  if (old == v.tasks.end()) v.tasks.push_back(std::move(t));
  else if (t.value || !old->value) *old = std::move(t);
}

// details {"pass@10": {value, ...}}: further k of the same samples.
void add_further_k(Variant& v, const TaskResult& first) {
  for (const auto& [metric, score] : first.details.items()) {
    if (!metric.starts_with("pass@") || !score.is_object()) continue;
    TaskResult t;
    t.name = first.name, t.metric = metric, t.n = first.n;
    t.value = number_at(score, "value");
    t.standard_error = number_at(score, "stderr");
    t.interval = interval_at(score, "ci95");
    if (t.value) keep_task(v, std::move(t));
  }
}

void add_eval(Variant& v, const Json& record) {
  const Json& eval = record["eval"];
  for (const Json& item : array_at(eval, "tasks")) {
    TaskResult t;
    t.name = text_at(item, "name");
    t.metric = text_at(item, "metric");
    t.value = number_at(item, "value");
    t.standard_error = number_at(item, "stderr");
    t.interval = interval_at(item, "ci95");
    t.n = count_at(item, "n");
    t.not_run = text_at(item, "not_run");
    t.details = object_at(item, "details");
    t.per_item = array_at(item, "per_item");
    if (t.metric == "pass@1" && t.value && !t.interval && t.n > 0 && *t.value >= 0 && *t.value <= 1)
      t.interval = wilson_interval(int64_t(std::lround(*t.value * double(t.n))), int64_t(t.n));
    if (!t.value && t.not_run.empty()) t.not_run = "no value in the record";
    if (t.is_pass()) add_further_k(v, t);
    keep_task(v, std::move(t));
  }
  for (const Json& item : array_at(eval, "comparison")) {
    PairedTest t = test_from(item);
    const auto old = std::find_if(v.tests.begin(), v.tests.end(), [&](const PairedTest& o) { return o.task == t.task; });
    old == v.tests.end() ? v.tests.push_back(std::move(t)) : void(*old = std::move(t));
  }
  if (const Json& errors = object_at(eval, "errors"); !errors.empty()) {
    v.errors.clear();
    for (const auto& [category, n] : errors.items())
      if (n.is_number()) v.errors[category] = n.get<double>();
  }
  const std::string tier = text_at(object_at(eval, "sandbox"), "tier");
  if (!tier.empty()) v.sandbox = tier;
}

// The number after "layers.", "blk." and the like; -1: outside the layers.
int layer_of(const std::string& name) {
  for (const std::string_view word : {"layers.", "blk.", "h.", "block."}) {
    const auto at = name.find(word);
    if (at == std::string::npos || (at > 0 && name[at - 1] != '.')) continue;
    int layer = 0;
    const char* begin = name.data() + at + word.size();
    const auto [end, error] = std::from_chars(begin, name.data() + name.size(), layer);
    if (error == std::errc() && end != begin && layer >= 0 && layer < 10000) return layer;
  }
  return -1;
}

// Layers are compared at one encoding: the one near 4.5 bits that all of them were tried in. Records without candidates have
// each layer's own value only.
void add_sensitivity(Variant& v, const Json& items) {
  std::map<std::string, std::pair<size_t, double>> tried;  // encoding -> layers, sum of bits
  for (const Json& item : items)
    for (const Json& candidate : array_at(item, "candidates"))
      if (const auto bits = number_at(candidate, "bits")) tried[text_at(candidate, "encoding")].first += 1, tried[text_at(candidate, "encoding")].second += *bits;
  v.sensitivity.clear(), v.sensitivity_encoding.clear();
  double nearest = 1e9;
  for (const auto& [encoding, sum] : tried)
    if (const double distance = std::abs(sum.second / double(sum.first) - 4.5); sum.first == items.size() && distance < nearest) nearest = distance, v.sensitivity_encoding = encoding;
  for (const Json& item : items)
    if (const auto value = number_at(item, "value")) {
      LayerSensitivity layer{text_at(item, "name"), text_at(item, "encoding"), *value, *value};
      for (const Json& candidate : array_at(item, "candidates"))
        if (!v.sensitivity_encoding.empty() && text_at(candidate, "encoding") == v.sensitivity_encoding) layer.value = number_at(candidate, "value").value_or(*value);
      v.sensitivity.push_back(std::move(layer));
      v.sensitivity_metric = text_at(item, "metric");
    }
}

void add_quantize(Variant& v, const Json& record, const char* section) {
  const Json& quantize = record[section];
  v.source_path = normal_path(text_at(object_at(quantize, "source"), "path"));
  v.tensors.clear();
  for (const Json& item : array_at(quantize, "tensors"))
    if (const auto error = number_at(item, "relative_error"))
      v.tensors.push_back({text_at(item, "name"), layer_of(text_at(item, "name")), number_at(item, "bytes").value_or(0), *error});
  add_sensitivity(v, array_at(quantize, "sensitivity"));
}

Source source_of(const Json& record) {
  Source s;
  s.id = text_at(record, "id");
  s.command = text_at(record, "command");
  s.started = text_at(record, "started");
  s.seconds = number_at(record, "seconds").value_or(0);
  s.machine = hardware_of(record);
  s.version = text_at(record["teeny"], "version");
  s.label = text_at(object_at(record, "model"), "name");
  return s;
}

void note_warnings(ReportData& data, const Json& record) {
  for (const Json& w : array_at(record, "warnings")) {
    const std::string note = text_at(w, "message");
    if (!note.empty() && std::find(data.notes.begin(), data.notes.end(), note) == data.notes.end()) data.notes.push_back(note);
  }
}

// In a comparison of hardware a variant measured on several machines is one row for each.
void split_by_hardware(std::vector<Variant>& variants) {
  std::vector<Variant> out;
  for (const auto& v : variants) {
    std::vector<std::string> places;
    for (const auto& c : v.cases)
      if (!c.projected && std::find(places.begin(), places.end(), c.hardware) == places.end()) places.push_back(c.hardware);
    if (places.size() < 2) {
      out.push_back(v);
      if (!places.empty()) out.back().hardware = places[0];
      continue;
    }
    for (const auto& place : places) {
      Variant one = v;
      one.hardware = place;
      std::erase_if(one.cases, [&](const SpeedCase& c) { return !c.projected && c.hardware != place; });
      if (place != places.front()) std::erase_if(one.cases, [](const SpeedCase& c) { return c.projected; });  // once is enough
      if (place != v.hardware) one.peak_memory.reset(), one.joules_per_token.reset();                         // of another machine
      out.push_back(std::move(one));
    }
  }
  variants = std::move(out);
}
}  // namespace

ReportData join_records(const std::vector<Json>& records, const ReportOptions& options) {
  ReportData data;
  data.comparison = options.comparison;
  data.title = options.title;
  std::vector<const Json*> ordered;
  for (const Json& r : records) ordered.push_back(&r);
  std::stable_sort(ordered.begin(), ordered.end(), [](const Json* a, const Json* b) { return text_at(*a, "started") < text_at(*b, "started"); });
  std::map<std::string, int> skipped;
  for (const Json* record : ordered) {
    const std::string command = text_at(*record, "command");
    const bool useful = (command == "quantize" || command == "convert" || command == "bench" || command == "eval") && record->contains(command) &&
                        (*record)[command].is_object() && !object_at(*record, "model").empty();
    const bool dry = useful && (*record)[command].value("dry_run", Json(false)) == true;
    if (!useful || dry) {
      ++skipped[dry ? command + " --dry-run" : command];
      continue;
    }
    Variant found = variant_of((*record)["model"]);
    auto at = std::find_if(data.variants.begin(), data.variants.end(), [&](const Variant& v) { return same_variant(v, found, data.comparison); });
    if (at == data.variants.end()) at = data.variants.insert(at, std::move(found));
    if (command == "bench") add_bench(*at, *record);
    else if (command == "eval") add_eval(*at, *record);
    else add_quantize(*at, *record, command.c_str());
    data.sources.push_back(source_of(*record));
    note_warnings(data, *record);
    if (text_at(*record, "status") != "ok")
      data.notes.push_back(fmt::format("Record {} ended with status \"{}\": its figures may be incomplete.", text_at(*record, "id"), text_at(*record, "status")));
  }
  for (const auto& [command, n] : skipped) data.notes.push_back(fmt::format("{} record{} of {} hold{} nothing to compare and {} left out.", n, n == 1 ? "" : "s", command, n == 1 ? "s" : "", n == 1 ? "was" : "were"));
  if (data.variants.empty())
    throw input_error("report", "records", "none of the {} records is of quantize, convert, bench or eval; run one of these with --results DIR first", records.size());
  if (data.comparison == Comparison::Hardware) split_by_hardware(data.variants);
  return data;
}

}  // namespace teeny::report
