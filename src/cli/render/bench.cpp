#include <fmt/format.h>

#include "cli/output.h"
#include "cli/render.h"
#include "cli/text.h"
#include "teeny/core/file.h"

namespace teeny::cli {
namespace {

std::string speed(const Json& entry) {
  const Json* median = find(entry, {"median"});
  if (!median) return "-";
  const double mad = number_at(entry, {"mad"}, -1);
  const double value = median->get<double>();
  const int digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return mad >= 0 ? fmt::format("{:.{}f} ± {:.{}f}", value, digits, mad, digits) : fmt::format("{:.{}f}", value, digits);
}

std::string optional_number(const Json& entry, std::initializer_list<const char*> path, const char* unit) {
  const double value = number_at(entry, path, -1);
  return value < 0 ? "-" : significant(value, 3) + unit;
}

std::string note(const Json& entry) {
  std::string text;
  if (const Json* fits = find(entry, {"fits"}); fits && fits->is_boolean()) text = fits->get<bool>() ? "fits" : "does not fit";
  if (const auto why = text_at(entry, {"not_run"}); !why.empty()) text += (text.empty() ? "" : "; ") + why;
  return text;
}

}  // namespace

std::string render_bench(const Json& record, bool colour) {
  std::string out = style(colour, kBold, text_at(record, {"model", "name"}, "model"));
  if (const double bytes = number_at(record, {"model", "bytes"}, -1); bytes >= 0) out += "  " + human_bytes(uint64_t(bytes));
  if (const double bits = number_at(record, {"model", "bits_per_weight"}, -1); bits >= 0) out += fmt::format(", {:.3f} bits per weight", bits);
  out += "\n\n";
  Table table({"case", "kind", "hardware", "batch", "depth", "tokens/s", "first token", "a token", "bandwidth", "of peak", "note"});
  bool projected = false;
  if (const Json* cases = find(record, {"bench", "cases"}))
    for (const auto& entry : *cases) {
      projected = projected || text_at(entry, {"kind"}) == "projected";
      const double fraction = number_at(entry, {"bandwidth_fraction"}, -1);
      table.add({text_at(entry, {"name"}), text_at(entry, {"kind"}), text_at(entry, {"hardware"}), text_at(entry, {"batch"}), text_at(entry, {"depth"}), speed(entry),
                 optional_number(entry, {"ttft_ms"}, " ms"), optional_number(entry, {"token_latency_ms", "p50"}, " ms"), optional_number(entry, {"bandwidth_gb_s"}, " GB/s"),
                 fraction < 0 ? "-" : percent(fraction, 0), note(entry)});
    }
  out += table.str() + "\n  tokens/s: median ± median absolute deviation of the repetitions\n";
  if (projected) out += "  projected: computed by roofline from the vendor's figures and the efficiency measured here; not measured\n";
  const double peak = number_at(record, {"bench", "peak_host_bytes"}, 0), device = number_at(record, {"bench", "peak_device_bytes"}, 0);
  if (peak > 0) out += "  peak memory: " + human_bytes(uint64_t(peak)) + " host" + (device > 0 ? ", " + human_bytes(uint64_t(device)) + " device" : "") + "\n";
  if (const double load = number_at(record, {"bench", "load_seconds"}, -1); load >= 0) out += "  load: " + duration(load) + "\n";
  const std::string source = text_at(record, {"bench", "energy", "source"}, "not measured");
  out += "  energy: " + source;
  if (const double joules = number_at(record, {"bench", "energy", "joules_per_token"}, -1); joules >= 0) out += fmt::format(", {} J a token", significant(joules, 3));
  out += "\n";
  if (const double grams = number_at(record, {"energy", "co2_g"}, -1); grams >= 0) out += fmt::format("  CO2: {} g\n", significant(grams, 3));
  if (const Json* baseline = find(record, {"bench", "baseline"}); baseline && baseline->is_object())
    for (const auto& [key, value] : baseline->items())
      if (!value.is_structured()) out += fmt::format("  baseline {}: {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  return out;
}

}  // namespace teeny::cli
