// Who is compared with whom, and what the paired tests say. Every p of the report is one claim: Holm runs over all of them.
#include <algorithm>
#include <map>
#include <tuple>

#include "report/data.h"
#include "report/format.h"
#include "teeny/stats/tests.h"

namespace teeny::report {
namespace {

bool is_original(const Variant& v) {
  for (const char* method : {"", "fp16", "bf16", "fp32", "none"})
    if (v.method == method) return v.bits.value_or(16) >= 16;
  return v.type == "F16" || v.type == "BF16" || v.type == "F32";
}

bool named_by(const std::string& path, const Variant& v) {
  return !path.empty() && (path == v.path || path == v.name || v.path.ends_with("/" + path) || path.ends_with("/" + v.path));
}

// How well `r` serves as the reference of `v`; 0: not at all. Named by a comparison, named as the source, original of the family.
int fitness(const Variant& v, const Variant& r, Comparison comparison) {
  if (&v == &r || (comparison == Comparison::Hardware && v.path == r.path && v.name == r.name)) return 0;
  int score = 0;
  for (const auto& t : v.tests)
    if (named_by(t.reference, r)) score = 400;
  if (!score && named_by(v.source_path, r)) score = 200;
  const bool family = v.family == r.family && (v.parameters == r.parameters || !v.parameters || !r.parameters);
  if (!score && family && is_original(r) && !is_original(v)) score = 20 + int(r.bits.value_or(0)) + (r.method.empty() ? 40 : 0);
  if (score && comparison == Comparison::Hardware && v.hardware == r.hardware) score += 100;
  return score;
}

void find_references(ReportData& data) {
  for (auto& v : data.variants) {
    int best = 0;
    for (size_t i = 0; i < data.variants.size(); ++i)
      if (const int score = fitness(v, data.variants[i], data.comparison); score > best) best = score, v.reference = int(i);
  }
  for (auto& v : data.variants)
    if (v.reference >= 0) data.variants[size_t(v.reference)].is_reference = true;
  for (auto& v : data.variants) v.is_reference = v.is_reference || (v.reference < 0 && is_original(v));
}

std::string describe_case(const SpeedCase& c, bool with_hardware) {
  std::string out = c.phase == Phase::Decode ? fmt::format("{} tokens generated", c.generate) : fmt::format("a prompt of {} tokens", c.prompt);
  if (c.depth) out += fmt::format(" at depth {}", c.depth);
  out += fmt::format(", batch {}", c.batch);
  return with_hardware ? out + " on " + c.hardware : out;
}

// All variants are compared by one case: the one that most of them have, batch 1 and depth 0 before others.
std::string choose_case(ReportData& data, Phase phase, int Variant::* chosen) {
  using Key = std::tuple<std::string, uint64_t, uint64_t, uint64_t, uint64_t>;
  const bool by_hardware = data.comparison == Comparison::Hardware;
  const auto usable = [&](const SpeedCase& c) { return c.phase == phase && !c.projected && c.median; };
  const auto key = [&](const SpeedCase& c) { return Key{by_hardware ? "" : c.hardware, c.prompt, c.generate, c.depth, c.batch}; };
  std::map<Key, int> votes;
  for (const auto& v : data.variants)
    for (const auto& c : v.cases)
      if (usable(c)) votes[key(c)] += 2 + (c.batch == 1 && c.depth == 0 ? 1 : 0);
  if (votes.empty()) return "";
  const Key winner = std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; })->first;
  std::string shown;
  for (auto& v : data.variants)
    for (size_t i = 0; i < v.cases.size(); ++i)
      if (usable(v.cases[i]) && key(v.cases[i]) == winner) v.*chosen = int(i), shown = describe_case(v.cases[i], !by_hardware);
  return shown;
}

// Memory and energy of other hardware than the compared speeds' must not stand in one column with them.
void drop_other_hardware(ReportData& data) {
  std::string place;
  for (const auto& v : data.variants)
    if (const auto* c = v.speed(Phase::Decode)) place = c->hardware;
  if (place.empty() || data.comparison == Comparison::Hardware) return;
  for (auto& v : data.variants) {
    if (v.hardware.empty() || v.speed(Phase::Decode)) continue;
    v.peak_memory.reset(), v.joules_per_token.reset(), v.energy_source.clear();
    data.notes.push_back(fmt::format("{} was measured on other hardware or with other settings than the rest: its speed stands in the table of speeds only.", v.label));
  }
}

std::map<std::string, bool> outcomes(const TaskResult& task) {
  std::map<std::string, bool> out;
  for (const Json& item : task.per_item) {
    if (!item.is_object()) return {};
    std::string id;
    for (const char* key : {"id", "task_id", "name"})
      if (id.empty() && item.contains(key) && item[key].is_string()) id = item[key].get<std::string>();
    const auto passed = item.find("passed");
    if (passed != item.end() && passed->is_null()) continue;  // not judged
    const bool several = item.contains("samples");              // a rate, not an outcome: McNemar's test does not apply
    if (id.empty() || several || passed == item.end() || !(passed->is_boolean() || passed->is_number())) return {};
    out[id] = passed->is_boolean() ? passed->get<bool>() : passed->get<double>() >= 0.5;
  }
  return out;
}

// A task scored for both models, problem by problem, but not compared in any record: compared here.
void test_from_items(const ReportData& data, Variant& v) {
  const Variant* reference = data.reference_of(v);
  if (!reference) return;
  for (const auto& task : v.tasks) {
    if (!task.is_pass() || !task.value || test_of(v, task.title()) || test_of(v, task.name)) continue;
    const auto* other = reference->task(task.title());
    if (!other || !other->value) continue;
    const auto mine = outcomes(task), theirs = outcomes(*other);
    PairedTest t;
    size_t common = 0;
    for (const auto& [id, passed] : mine) {
      const auto at = theirs.find(id);
      if (at == theirs.end()) continue;
      ++common;
      if (passed && !at->second) t.gained_ids.push_back(id);
      if (!passed && at->second) t.lost_ids.push_back(id);
    }
    if (common == 0 || common != mine.size() || common != theirs.size()) continue;
    t.gained = t.gained_ids.size(), t.lost = t.lost_ids.size();
    t.task = task.name, t.test = "mcnemar-exact", t.reference = reference->name, t.from_items = true;
    t.difference = (double(*t.gained) - double(*t.lost)) / double(common);
    t.p = mcnemar_exact(int64_t(*t.gained), int64_t(*t.lost));
    t.detectable = detectable_difference(int64_t(common), double(*t.gained + *t.lost) / double(common));
    v.tests.push_back(std::move(t));
  }
}

void adjust_by_holm(const std::vector<PairedTest*>& tests) {
  std::vector<double> p;
  std::vector<Maybe*> targets;
  for (auto* t : tests) {
    if (t->p) p.push_back(*t->p), targets.push_back(&t->p_holm);
    if (t->p_equivalent) p.push_back(*t->p_equivalent), targets.push_back(&t->p_equivalent_holm);
  }
  const auto adjusted = holm(p);
  for (size_t i = 0; i < targets.size(); ++i) *targets[i] = adjusted[i];
}
}  // namespace

const TaskResult* Variant::task(const std::string& title) const {
  for (const auto& t : tasks)
    if (t.title() == title) return &t;
  return nullptr;
}
const TaskResult* Variant::perplexity() const {
  for (const auto& t : tasks)
    if (t.is_perplexity() && t.value) return &t;
  return nullptr;
}
const TaskResult* Variant::kld() const {
  for (const auto& t : tasks)
    if (t.is_kld() && t.value) return &t;
  return nullptr;
}
Maybe Variant::top1() const {
  for (const auto& t : tasks)
    if (t.name.starts_with("top1") || t.name.starts_with("top-1")) return t.value;
  const auto* t = kld();
  for (const char* key : {"top1_agreement", "top1", "same_top"})
    if (t && t->details.contains(key) && t->details[key].is_number()) return t->details[key].get<double>();
  return std::nullopt;
}
const SpeedCase* Variant::speed(Phase phase) const {
  const int i = phase == Phase::Prefill ? chosen_prefill : phase == Phase::Decode ? chosen_decode : -1;
  return i < 0 ? nullptr : &cases[size_t(i)];
}

void compare_variants(ReportData& data) {
  find_references(data);
  name_variants(data);
  data.prefill_case = choose_case(data, Phase::Prefill, &Variant::chosen_prefill);
  data.decode_case = choose_case(data, Phase::Decode, &Variant::chosen_decode);
  drop_other_hardware(data);
  std::vector<PairedTest*> all;
  for (size_t i = 0; i < data.variants.size(); ++i) {
    test_from_items(data, data.variants[i]);
    Variant& v = data.variants[i];
    for (auto& t : v.tests) {
      t.variant = i;
      t.share = std::none_of(v.tasks.begin(), v.tasks.end(), [&](const TaskResult& task) { return task.name == t.task && !task.is_pass(); });
      if (!t.share) t.gained.reset(), t.lost.reset();  // windows of text are neither gained nor lost
      all.push_back(&t);
    }
  }
  adjust_by_holm(all);
  for (const auto& v : data.variants) {
    data.tests.insert(data.tests.end(), v.tests.begin(), v.tests.end());
    for (const auto& t : v.tasks)
      if (t.is_pass() && std::find(data.code_tasks.begin(), data.code_tasks.end(), t.title()) == data.code_tasks.end()) data.code_tasks.push_back(t.title());
  }
  // A task that ran nowhere is a note, not a column of dashes.
  std::erase_if(data.code_tasks, [&](const std::string& title) {
    std::string reason;
    for (const auto& v : data.variants)
      if (const auto* t = v.task(title)) {
        if (t->value) return false;
        reason = t->not_run;
      }
    data.notes.push_back(fmt::format("{} was not run: {}.", title, reason));
    return true;
  });
  data.headline = headline(data);
  data.caveat = caveat(data);
}

size_t claims(const std::vector<PairedTest>& tests) {
  size_t n = 0;
  for (const auto& t : tests) n += (t.p ? 1u : 0u) + (t.p_equivalent ? 1u : 0u);
  return n;
}

const PairedTest* test_of(const Variant& v, const std::string& task) {
  for (const auto& t : v.tests)
    if (t.task == task || task == t.task + " pass@1") return &t;
  return nullptr;
}

Maybe size_reduction(const ReportData& data, const Variant& v) {
  const Variant* r = data.reference_of(v);
  if (!r || !r->bytes || !v.bytes || *r->bytes <= 0) return std::nullopt;
  return 1 - *v.bytes / *r->bytes;
}

Maybe memory_reduction(const ReportData& data, const Variant& v) {
  const Variant* r = data.reference_of(v);
  if (!r || !r->peak_memory || !v.peak_memory || r->peak_on_device != v.peak_on_device || r->hardware != v.hardware) return std::nullopt;
  return 1 - *v.peak_memory / *r->peak_memory;
}

Maybe speedup(const ReportData& data, const Variant& v) {
  const Variant* r = data.reference_of(v);
  const SpeedCase *mine = v.speed(Phase::Decode), *theirs = r ? r->speed(Phase::Decode) : nullptr;
  if (!mine || !theirs || mine->hardware != theirs->hardware || *theirs->median <= 0) return std::nullopt;
  return *mine->median / *theirs->median;
}

Maybe retention(const ReportData& data, const Variant& v, const TaskResult& task) {
  const Variant* r = data.reference_of(v);
  const TaskResult* other = r ? r->task(task.title()) : nullptr;
  if (!other || !other->value || !task.value || *other->value <= 0 || *task.value < 0) return std::nullopt;
  if (task.is_perplexity()) return *task.value > 0 ? Maybe(*other->value / *task.value) : std::nullopt;
  return task.is_pass() ? Maybe(*task.value / *other->value) : std::nullopt;
}

}  // namespace teeny::report
