// run_bench with the real models, clock and machine; everything else is run_bench_with.
#include <chrono>

#include "bench/bench.h"
#include "bench/rates.h"
#include "teeny/bench/bench.h"

namespace teeny {

Json run_bench(const BenchOptions& options, Context& context) {
  BenchServices services;
  services.open = open_source;
  services.load = [&](std::unique_ptr<TensorSource> source, Context& c) { return load_runner(std::move(source), c, {options.act_bits, options.gpu_layers}); };
  services.clock = [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
  services.rates = measure_rates;
  return run_bench_with(options, context, services);
}

}  // namespace teeny
