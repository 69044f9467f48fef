// teeny bench: prefill and decode speed, measured; on other hardware, projected and labelled so.
#pragma once
#include "teeny/core/engine.h"

namespace teeny {
Json run_bench(const BenchOptions& options, Context& context);
}
