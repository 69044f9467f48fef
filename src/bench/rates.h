// What this machine can do: streaming reads and a matrix product, measured in a fraction of a second.
#pragma once
#include "bench/bench.h"

namespace teeny {

MachineRates measure_rates(const Context& context);
uint64_t last_level_cache_bytes();  // 0: unknown

}  // namespace teeny
