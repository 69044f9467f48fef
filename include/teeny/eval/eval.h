// teeny eval: tasks over one Runner (and a reference), numbers with intervals into a record.
#pragma once
#include "teeny/core/engine.h"

namespace teeny {
Json run_eval(const EvalOptions& options, Context& context);
}
