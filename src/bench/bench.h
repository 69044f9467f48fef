// What the parts of `teeny bench` share: the cases, what was timed, and the services that tests replace (clock, model,
// the machine's own rates). B sequences in a batch, P prompt tokens, G generated tokens, D tokens already in the cache.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "teeny/core/engine.h"
#include "teeny/record/energy_meter.h"
#include "teeny/runtime/runner.h"

namespace teeny {

using Clock = std::function<double()>;  // seconds, from any origin

// What the machine can do, measured beside the model: the denominators of every fraction.
struct MachineRates {
  double read_gb_s = 0;        // streaming read of memory, all threads
  double gemm_tflops = 0;      // matrix product in the precision that the device computes in
  std::string gemm_precision;  // "f32", "f16"
};

struct BenchServices {
  std::function<std::unique_ptr<TensorSource>(const std::string& path)> open;
  std::function<std::unique_ptr<Runner>(std::unique_ptr<TensorSource> source, Context& context)> load;
  Clock clock;
  std::function<MachineRates(const Context& context)> rates;
};

struct CaseSpec {
  int64_t prompt = 0, generate = 0, depth = 0, batch = 1;
};

struct CaseTimes {
  std::vector<double> seconds;          // one a repetition
  std::vector<double> first_token_s;    // one a repetition, when the case has a prompt
  std::vector<double> token_s;          // one a decoded token, from one extra repetition
  double tokens = 0;                    // processed in one repetition, over the whole batch
  std::optional<double> joules;         // of the timed repetitions
};

class Timer;

// One way of timing a session.
struct Suite {
  const char* name;  // "prefill"
  const char* summary;
  std::optional<CaseSpec> (*reduce)(const CaseSpec& combination);  // what of a combination matters here (equal ones are timed once); nullopt: nothing
  std::string (*label)(const CaseSpec& spec);                      // the case's name in the record
  CaseTimes (*time)(Timer& timer, const CaseSpec& spec);
};
const std::vector<Suite>& bench_suites();

std::optional<CaseSpec> prefill_reduce(const CaseSpec& combination);
std::string prefill_label(const CaseSpec& spec);
CaseTimes time_prefill(Timer& timer, const CaseSpec& spec);
std::optional<CaseSpec> decode_reduce(const CaseSpec& combination);
std::string decode_label(const CaseSpec& spec);
CaseTimes time_decode(Timer& timer, const CaseSpec& spec);
std::optional<CaseSpec> response_reduce(const CaseSpec& combination);
std::string response_label(const CaseSpec& spec);
CaseTimes time_response(Timer& timer, const CaseSpec& spec);

Json run_bench_with(const BenchOptions& options, Context& context, const BenchServices& services);

}  // namespace teeny
