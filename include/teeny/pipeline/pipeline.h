// teeny quantize and convert: plan, then run.
#pragma once
#include "teeny/core/engine.h"

namespace teeny {
Json run_quantize(const QuantizeOptions& options, Context& context);
Json run_convert(const ConvertOptions& options, Context& context);
Json run_verify(const CommonOptions& options, Context& context);
}
