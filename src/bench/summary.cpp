#include "bench/summary.h"

#include <cmath>

#include "teeny/stats/describe.h"

namespace teeny {

double variation_of(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  double mean = 0, squares = 0;
  for (const double v : values) mean += v / double(values.size());
  for (const double v : values) squares += (v - mean) * (v - mean) / double(values.size() - 1);
  return mean > 0 ? std::sqrt(squares) / mean : 0;
}

namespace {
Json response_fields(const std::vector<double>& seconds) {
  double mean = 0;
  for (const double s : seconds) mean += s / double(seconds.size());
  return {{"mean", mean}, {"p50", median(seconds)}, {"p90", percentile(seconds, 90)}};
}

Json latency_fields(const std::vector<double>& seconds) {
  return {{"p50", 1e3 * percentile(seconds, 50)}, {"p90", 1e3 * percentile(seconds, 90)}, {"p99", 1e3 * percentile(seconds, 99)}};
}
}  // namespace

Json measured_case(const std::string& name, const std::string& hardware, const CaseSpec& spec, const CaseTimes& times, uint64_t decode_bytes, const MachineRates& rates) {
  std::vector<double> rate;  // tokens/s of the whole batch
  for (const double s : times.seconds) rate.push_back(times.tokens / s);
  const bool decode = decode_bytes > 0, response = spec.prompt > 0 && spec.generate > 0;
  Json out = {{"name", name},
              {"kind", "measured"},
              {"hardware", hardware},
              {"prompt", spec.prompt},
              {"generate", spec.generate},
              {"depth", spec.depth},
              {"batch", spec.batch},
              {"samples_tokens_per_s", rate},
              {"median", median(rate)},
              {"mad", median_absolute_deviation(rate)},
              {"p10", percentile(rate, 10)},
              {"p90", percentile(rate, 90)},
              {"ttft_ms", times.first_token_s.empty() ? Json(nullptr) : Json(1e3 * median(times.first_token_s))},
              {"response_s", response ? response_fields(times.seconds) : Json(nullptr)},
              {"token_latency_ms", times.token_s.empty() ? Json(nullptr) : latency_fields(times.token_s)},
              {"bandwidth_gb_s", nullptr},
              {"bandwidth_fraction", nullptr}};
  if (decode) {
    const double gb_s = double(decode_bytes) * median(rate) / double(spec.batch) * 1e-9;  // a step serves the whole batch
    out["bandwidth_gb_s"] = gb_s;
    if (rates.read_gb_s > 0) out["bandwidth_fraction"] = gb_s / rates.read_gb_s;
    out["details"] = {{"decode_bytes", decode_bytes}, {"read_bandwidth_gb_s", rates.read_gb_s}};
  }
  if (times.joules) out["joules_per_token"] = *times.joules / (times.tokens * double(times.seconds.size()));
  return out;
}

}  // namespace teeny
