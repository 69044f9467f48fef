#include "bench/summary.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace teeny {

double quantile_of(std::vector<double> values, double q) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  const double at = q * double(values.size() - 1);
  const size_t below = size_t(at), above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - double(below)) * (values[above] - values[below]);
}

double median_of(const std::vector<double>& values) { return quantile_of(values, 0.5); }

double mad_of(const std::vector<double>& values) {
  const double middle = median_of(values);
  std::vector<double> distances;
  for (const double v : values) distances.push_back(std::fabs(v - middle));
  return median_of(distances);
}

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
  return {{"mean", mean}, {"p50", median_of(seconds)}, {"p90", quantile_of(seconds, 0.9)}};
}

Json latency_fields(const std::vector<double>& seconds) {
  return {{"p50", 1e3 * quantile_of(seconds, 0.5)}, {"p90", 1e3 * quantile_of(seconds, 0.9)}, {"p99", 1e3 * quantile_of(seconds, 0.99)}};
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
              {"median", median_of(rate)},
              {"mad", mad_of(rate)},
              {"p10", quantile_of(rate, 0.1)},
              {"p90", quantile_of(rate, 0.9)},
              {"ttft_ms", times.first_token_s.empty() ? Json(nullptr) : Json(1e3 * median_of(times.first_token_s))},
              {"response_s", response ? response_fields(times.seconds) : Json(nullptr)},
              {"token_latency_ms", times.token_s.empty() ? Json(nullptr) : latency_fields(times.token_s)},
              {"bandwidth_gb_s", nullptr},
              {"bandwidth_fraction", nullptr}};
  if (decode) {
    const double gb_s = double(decode_bytes) * median_of(rate) / double(spec.batch) * 1e-9;  // a step serves the whole batch
    out["bandwidth_gb_s"] = gb_s;
    if (rates.read_gb_s > 0) out["bandwidth_fraction"] = gb_s / rates.read_gb_s;
    out["details"] = {{"decode_bytes", decode_bytes}, {"read_bandwidth_gb_s", rates.read_gb_s}};
  }
  if (times.joules) out["joules_per_token"] = *times.joules / (times.tokens * double(times.seconds.size()));
  return out;
}

}  // namespace teeny
