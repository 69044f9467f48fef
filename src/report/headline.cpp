// The one sentence that a reader takes away, and the figures behind it. It never claims more than the tests allow.
#include <algorithm>

#include "report/data.h"
#include "report/format.h"
#include "teeny/core/file.h"

namespace teeny::report {
namespace {
constexpr double kAlpha = 0.05;

enum class Verdict { Untested, NoLossFound, Loss };

Verdict verdict_of(const Variant& v) {
  Verdict out = Verdict::Untested;
  for (const auto& t : v.tests) {
    if (!t.p_holm || !t.share) continue;  // any change of weights moves perplexity: the question is whether it costs answers
    if (*t.p_holm < kAlpha && t.worse()) return Verdict::Loss;
    out = Verdict::NoLossFound;
  }
  return out;
}

template <class Better>
const Variant* best_of(const ReportData& data, Better better, bool (*eligible)(const Variant&)) {
  const Variant* best = nullptr;
  for (const auto& v : data.variants)
    if (!v.is_reference && eligible(v) && (!best || better(v, *best))) best = &v;
  return best;
}

bool smaller(const Variant& a, const Variant& b) {
  if (a.bytes != b.bytes) return *a.bytes < *b.bytes;
  const auto *x = a.kld(), *y = b.kld();
  return x && y && *x->value < *y->value;
}

// Of variants that no test separates from the original, one within 3 % of the smallest size and of lower KLD is the better choice.
const Variant* smallest_without_loss(const ReportData& data) {
  const auto eligible = [](const Variant& v) { return v.bytes.has_value() && verdict_of(v) == Verdict::NoLossFound; };
  const Variant* smallest = best_of(data, smaller, eligible);
  if (!smallest) return nullptr;
  const Variant* best = smallest;
  for (const auto& v : data.variants)
    if (!v.is_reference && eligible(v) && *v.bytes <= *smallest->bytes * 1.03 && v.kld() && best->kld() && *v.kld()->value < *best->kld()->value) best = &v;
  return best;
}

bool has_kld(const Variant& v) { return v.kld() != nullptr; }
bool lower_kld(const Variant& a, const Variant& b) { return *a.kld()->value < *b.kld()->value; }

// A number and its unit stay on one line.
std::string kept_together(std::string text) {
  if (const auto at = text.find(' '); at != std::string::npos) text = text.substr(0, at) + "\u00A0" + text.substr(at + 1);
  return text;
}

std::string size_phrase(const ReportData& data, const Variant& v) {
  std::string out = kept_together(human_bytes(uint64_t(v.bytes.value_or(0))));
  if (const auto r = size_reduction(data, v)) out += fmt::format(" instead of {}", kept_together(human_bytes(uint64_t(*data.reference_of(v)->bytes))));
  return out;
}

std::string speed_phrase(const ReportData& data, const Variant& v) {
  const auto s = speedup(data, v);
  // Below a quarter, runs of one machine differ by as much: nothing to claim.
  const bool clear = s && (*s > 1.25 || *s < 0.8);
  return clear ? fmt::format(", decoding {:.1f} times as fast", *s) : "";
}

}  // namespace

const Variant* recommended(const ReportData& data) {
  if (const Variant* v = smallest_without_loss(data)) return v;
  return best_of(data, lower_kld, has_kld);
}

std::string headline(const ReportData& data) {
  if (const Variant* v = smallest_without_loss(data))
    return fmt::format("{} is the smallest variant without a significant loss: {}{}.", v->label, size_phrase(data, *v), speed_phrase(data, *v));
  size_t tested = 0, lost = 0, quantized = 0;
  for (const auto& v : data.variants) {
    quantized += !v.is_reference;
    tested += !v.is_reference && verdict_of(v) != Verdict::Untested;
    lost += !v.is_reference && verdict_of(v) == Verdict::Loss;
  }
  const std::string losses = tested && lost == tested ? fmt::format("Every tested variant ({}) loses significantly against its reference. ", tested) : "";
  if (const Variant* v = best_of(data, lower_kld, has_kld)) {
    const std::string size = v->bytes ? " (" + size_phrase(data, *v) + ")" : "";
    return fmt::format("{}{} stays closest to the original: mean KL divergence {} nats{}{}.", losses, v->label, decimals(*v->kld()->value), size,
                       speed_phrase(data, *v));
  }
  if (!losses.empty()) return losses.substr(0, losses.size() - 1);
  if (quantized == 0)
    return fmt::format("{} model{} measured; there is no quantized variant to compare yet.", data.variants.size(), data.variants.size() == 1 ? " was" : "s were");
  const Variant* small = best_of(data, smaller, [](const Variant& v) { return v.bytes.has_value(); });
  if (!small) return fmt::format("{} variants; their records hold no sizes, so there is nothing to rank.", data.variants.size());
  return fmt::format("{} is the smallest of {} variants: {}{}. Quality was not measured in these records.", small->label, data.variants.size(),
                     size_phrase(data, *small), speed_phrase(data, *small));
}

std::string caveat(const ReportData& data) {
  const Variant* v = recommended(data);
  if (!v) return "";
  if (verdict_of(*v) == Verdict::Untested) return "No paired test of answers is in these records, so this says nothing about a loss in tasks.";
  size_t tested = 0;
  for (const auto& one : data.variants) tested += !one.is_reference && verdict_of(one) != Verdict::Untested;
  Maybe detectable;
  for (const auto& t : v->tests)
    if (t.detectable && t.share) detectable = std::max(detectable.value_or(0), *t.detectable);
  std::string out = fmt::format("{} variant{} tested against the reference at the 5 % level, adjusted for {} tests.", tested, tested == 1 ? " was" : "s were",
                                claims(data.tests));
  if (detectable) out += fmt::format(" A loss of less than {:.1f} points could have gone unseen.", *detectable * 100);
  return out;
}

std::vector<Tile> key_figures(const ReportData& data) {
  std::vector<Tile> out;
  const Variant* v = recommended(data);
  if (!v) return out;
  const Variant* r = data.reference_of(*v);
  if (const auto s = size_reduction(data, *v))
    out.push_back({signed_percent(-*s, 0), "size on disk", fmt::format("{} → {}", human_bytes(uint64_t(*r->bytes)), human_bytes(uint64_t(*v->bytes)))});
  if (const auto m = memory_reduction(data, *v))
    out.push_back({signed_percent(-*m, 0), v->peak_on_device ? "peak GPU memory" : "peak memory",
                   fmt::format("{} → {}", human_bytes(uint64_t(*r->peak_memory)), human_bytes(uint64_t(*v->peak_memory)))});
  if (const auto s = speedup(data, *v))
    out.push_back({fmt::format("{:.1f}×", *s), "decode speed", fmt::format("{} → {} tokens/s", decimals(*r->speed(Phase::Decode)->median), decimals(*v->speed(Phase::Decode)->median))});
  for (const auto& t : v->tasks) {
    const auto keep = retention(data, *v, t);
    if (!keep || !t.is_pass() || out.size() >= 4) continue;
    out.push_back({percent(*keep, 0), "of the reference's " + t.title(), fmt::format("{} → {}", percent(*r->task(t.title())->value), percent(*t.value))});
  }
  if (const auto* k = v->kld(); k && out.size() < 4) out.push_back({decimals(*k->value), "mean KL divergence", "nats a token, 0 is identical"});
  return out;
}

}  // namespace teeny::report
