#pragma once
#include "teeny/core/engine.h"

namespace teeny {
Json run_generate(const GenerateOptions& options, Context& context);  // teeny generate
}
