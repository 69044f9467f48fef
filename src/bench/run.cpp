// teeny bench: options -> combinations -> cases, measured and projected -> record.
#include <stdlib.h>

#include <algorithm>
#include <cmath>

#include "bench/baseline.h"
#include "bench/projection.h"
#include "bench/rates.h"
#include "bench/summary.h"
#include "bench/timer.h"
#include "teeny/core/error.h"
#include "teeny/family/describe.h"
#include "teeny/record/record.h"

namespace teeny {
namespace {

struct Measured {
  const Suite* suite;
  CaseSpec spec;
  CaseTimes times;
  Json record;
  bool is_decode() const { return spec.generate > 0 && spec.prompt == 0; }
};

void check_options(const BenchOptions& options) {
  const auto check_list = [](const char* name, const std::vector<int64_t>& values, int64_t least) {
    if (values.empty()) throw usage_error("bench", name, "is empty; give one number or more, separated by commas");
    for (const int64_t v : values)
      if (v < least) throw usage_error("bench", name, "{} is too small, expected at least {}", v, least);
  };
  check_list("--prompt", options.prompt, 0);
  check_list("--generate", options.generate, 0);
  check_list("--depth", options.depth, 0);
  check_list("--batch", options.batch, 1);
  if (options.repetitions < 1) throw usage_error("bench", "--repetitions", "is {}, expected at least 1", options.repetitions);
  if (options.warmup < 0) throw usage_error("bench", "--warmup", "is {}, expected at least 0", options.warmup);
  if (options.fail_if_slower >= 0 && options.baseline.empty())
    throw usage_error("bench", "--fail-if-slower", "compares with an earlier record; pass --baseline RESULT.json");
}

// Every combination, reduced for each suite, each reduced one once; in the order in which they are timed.
std::vector<Measured> plan_cases(const BenchOptions& options, const ModelSpec& spec) {
  std::vector<Measured> out;
  const auto same = [](const CaseSpec& a, const CaseSpec& b) { return a.prompt == b.prompt && a.generate == b.generate && a.depth == b.depth && a.batch == b.batch; };
  for (const int64_t batch : options.batch)
    for (const int64_t depth : options.depth)
      for (const auto& suite : bench_suites())
        for (const int64_t prompt : options.prompt)
          for (const int64_t generate : options.generate) {
            const auto reduced = suite.reduce({prompt, generate, depth, batch});
            if (!reduced) continue;
            const int64_t length = reduced->depth + reduced->prompt + reduced->generate + 1;
            if (spec.context > 0 && length > spec.context)
              throw usage_error("bench", suite.label(*reduced), "needs {} tokens at depth {}, but the model's context is {}; lower --prompt, --generate or --depth", length,
                                reduced->depth, spec.context);
            if (std::none_of(out.begin(), out.end(), [&](const Measured& m) { return m.suite == &suite && same(m.spec, *reduced); })) out.push_back({&suite, *reduced, {}, {}});
          }
  if (out.empty()) throw usage_error("bench", "--prompt", "and --generate are both 0: nothing to time");
  return out;
}

class Bench {
 public:
  Bench(const BenchOptions& options, Context& context, const BenchServices& services) : options_(options), context_(context), services_(services), meter_(context.device) {}

  Json run() {
    check_options(options_);
    std::optional<Hardware> hardware;
    if (!options_.hardware.empty()) hardware = load_hardware(options_.hardware);
    RunRecord record("bench", options_.args, context_.seed);
    hardware_name_ = context_.device.starts_with("cuda") && !meter_.device_name().empty() ? meter_.device_name() : record.json()["machine"].value("cpu", context_.device);
    auto source = services_.open(options_.model);
    const ModelSpec spec = read_spec(*source);
    record.json()["model"] = describe_model(*source, spec, read_quant_config(*source), options_.hash);
    if (options_.act_bits) record.json()["model"]["act_bits"] = options_.act_bits == 8 ? Json(8) : Json();  // as it runs
    cases_ = plan_cases(options_, spec);
    const double begin = services_.clock();
    runner_ = services_.load(std::move(source), context_);
    load_seconds_ = services_.clock() - begin;
    measure_all();
    // The peak is the model's: the buffers that the machine's rates are measured with come after it.
    peak_host_bytes_ = peak_host_bytes();
    peak_device_bytes_ = runner_->peak_device_bytes();
    rates_ = services_.rates(context_);
    for (auto& item : cases_)
      item.record = measured_case(item.suite->label(item.spec), hardware_name_, item.spec, item.times, item.is_decode() ? runner_->decode_bytes() : 0, rates_);
    if (hardware) project_all(*hardware);
    record.json()["bench"] = result();
    return finish(record);
  }

 private:
  void measure_all() {
    uint64_t total = cases_.size() * uint64_t(options_.repetitions + options_.warmup);
    context_.progress_start("bench", total);
    for (size_t i = 0; i < cases_.size();) {  // cases of one batch stand together and share a session
      const int64_t batch = cases_[i].spec.batch;
      size_t end = i;
      int64_t capacity = 0;
      for (; end < cases_.size() && cases_[end].spec.batch == batch; ++end)
        capacity = std::max(capacity, cases_[end].spec.depth + cases_[end].spec.prompt + cases_[end].spec.generate + 1);
      const auto session = runner_->open_session(batch, capacity);
      for (; i < end; ++i) measure(cases_[i], *session);
    }
    context_.progress_finish();
  }

  void measure(Measured& item, Session& session) {
    const TimingPlan plan{options_.repetitions, options_.warmup, context_.seed, std::min(runner_->spec().vocab, std::max<int64_t>(1, runner_->tokenizer().size()))};
    Timer timer(session, services_.clock, plan, item.spec.batch, meter_, context_);
    const auto& times = item.times = item.suite->time(timer, item.spec);
    variation_ = std::max(variation_, variation_of(times.seconds));
    if (!times.joules) return;
    joules_ = joules_.value_or(0) + *times.joules;
    if (item.is_decode()) decode_joules_ += *times.joules, decoded_ += times.tokens * double(times.seconds.size());
  }

  // Efficiencies of the measured case that resembles `spec` most: the same batch and depth, else the first.
  Efficiency efficiency_for(const CaseSpec& spec) const {
    double bandwidth = 0, compute = 0;
    const auto fits = [&](const CaseSpec& c) { return c.batch == spec.batch && c.depth == spec.depth; };
    for (const bool exact : {true, false})
      for (const auto& m : cases_) {
        if (exact && !fits(m.spec)) continue;
        if (m.spec.prompt == 0 && bandwidth == 0 && m.record["bandwidth_fraction"].is_number()) bandwidth = m.record["bandwidth_fraction"];
        if (m.spec.generate == 0 && compute == 0 && rates_.gemm_tflops > 0)
          compute = m.record["median"].get<double>() * 2 * double(runner_->macs_per_token()) / (rates_.gemm_tflops * 1e12);
      }
    const uint64_t cache = context_.device.starts_with("cuda") ? 0 : last_level_cache_bytes();
    return clamp_efficiency(bandwidth, compute, cache > 0 && runner_->decode_bytes() < cache);
  }

  void project_all(const Hardware& hardware) {
    if (is_hardware(hardware, hardware_name_)) {
      context_.info(fmt::format("this machine is {}: its rows are measured, nothing is projected", hardware.title));
      return;
    }
    const auto cost = model_cost(*runner_);
    for (const auto& item : cases_) projected_.push_back(projected_case(hardware, cost, item));
  }

  Json projected_case(const Hardware& hardware, const ModelCost& cost, const Measured& item) const {
    const auto& spec = item.spec;
    const auto efficiency = efficiency_for(spec);
    const auto p = project(hardware, cost, efficiency, spec);
    const bool response = spec.prompt > 0 && spec.generate > 0, decode = spec.prompt == 0;
    const double tokens = double(spec.batch * (spec.generate > 0 ? spec.generate : spec.prompt));
    const double seconds = spec.generate > 0 ? p.response_s : p.prefill_s, rate = tokens / seconds;
    const Json null = nullptr;
    const double gb_s = double(cost.decode_bytes) / p.step_s * 1e-9;
    const std::string assumption = efficiency.note + fmt::format("; weights as stored in the file ({:.1f} MB read a step), fp16 cache; launch and host time not counted, so an upper bound for small models",
                                                                 double(cost.decode_bytes) * 1e-6);
    Json out = {{"name", item.suite->label(spec)}, {"kind", "projected"}, {"hardware", hardware.name}, {"prompt", spec.prompt}, {"generate", spec.generate}, {"depth", spec.depth},
                {"batch", spec.batch}, {"samples_tokens_per_s", Json::array()}, {"median", rate}, {"mad", null}, {"p10", null}, {"p90", null},
                {"ttft_ms", spec.prompt > 0 ? Json(1e3 * p.prefill_s) : null},
                {"response_s", response ? Json{{"mean", p.response_s}, {"p50", null}, {"p90", null}} : null},
                {"token_latency_ms", decode ? Json{{"p50", 1e3 * p.step_s}, {"p90", null}, {"p99", null}} : null},
                {"bandwidth_gb_s", decode ? Json(gb_s) : null}, {"bandwidth_fraction", decode ? Json(gb_s / hardware.memory_gb_s) : null}};
    out["fits"] = p.fits;
    out["memory_bytes"] = p.memory_bytes;
    out["details"] = {{"hardware", hardware.title}, {"hardware_memory_bytes", hardware.memory_bytes}, {"hardware_bandwidth_gb_s", hardware.memory_gb_s}, {"hardware_fp16_tflops", hardware.fp16_tflops},
                      {"bandwidth_efficiency", efficiency.bandwidth}, {"compute_efficiency", efficiency.compute}, {"weight_bytes", cost.decode_bytes},
                      {"kv_bytes_per_token", cost.kv_bytes_per_token}, {"bound", p.bound.empty() ? null : Json(p.bound)}, {"assumption", assumption}};
    return out;
  }

  Json result() {
    Json cases = Json::array();
    for (auto& item : cases_) cases.push_back(item.record);
    for (auto& row : projected_) cases.push_back(row);
    double load[3] = {};
    const bool has_load = ::getloadavg(load, 3) == 3;
    Json out = {{"cases", cases}, {"peak_host_bytes", peak_host_bytes_}, {"peak_device_bytes", peak_device_bytes_}, {"load_seconds", load_seconds_}};
    out["noise"] = {{"loadavg", has_load ? Json{load[0], load[1], load[2]} : Json(nullptr)}, {"cv", variation_}, {"repetitions", options_.repetitions}, {"warmup", options_.warmup},
                    {"read_bandwidth_gb_s", rates_.read_gb_s}, {"gemm_tflops", rates_.gemm_tflops}, {"gemm_precision", rates_.gemm_precision}, {"weights", runner_->weights_note()},
                    {"weight_bytes_resident", runner_->weight_bytes_resident()}};
    out["energy"] = {{"source", joules_ ? meter_.source() : "not measured"}, {"joules", joules_ ? Json(*joules_) : Json(nullptr)}, {"idle_w", nullptr},
                     {"joules_per_token", decoded_ > 0 ? Json(decode_joules_ / decoded_) : Json(nullptr)}};
    out["device"] = context_.device;
    out["threads"] = context_.thread_count();
    return out;
  }

  Json finish(RunRecord& record) {
    auto& bench = record.json()["bench"];
    bool passed = true;
    if (!options_.baseline.empty()) {
      bench["baseline"] = compare_with_baseline(options_, bench["cases"]);
      if (bench["baseline"].contains("check")) passed = bench["baseline"]["check"]["passed"];
      if (!passed) context_.warn("check-failed", bench["baseline"]["check"]["message"]);
    }
    if (variation_ > 0.1)
      context_.warn("noisy", fmt::format("repetitions vary by {:.0f} %: something else runs on this machine; raise --repetitions or repeat when it is idle", 100 * variation_));
    record.finish(context_, passed ? "ok" : "check-failed");
    return record.json();
  }

  const BenchOptions& options_;
  Context& context_;
  const BenchServices& services_;
  EnergyMeter meter_;
  std::string hardware_name_;
  std::vector<Measured> cases_;
  std::vector<Json> projected_;
  std::unique_ptr<Runner> runner_;
  MachineRates rates_;
  double load_seconds_ = 0, variation_ = 0, decode_joules_ = 0, decoded_ = 0;
  std::optional<double> joules_;
  uint64_t peak_host_bytes_ = 0, peak_device_bytes_ = 0;
};
}  // namespace

Json run_bench_with(const BenchOptions& options, Context& context, const BenchServices& services) { return Bench(options, context, services).run(); }

}  // namespace teeny
