// Plans without the engine: what quantize and convert would write, for --dry-run and for refusing early.
#pragma once
#include "teeny/plan/plan.h"
#include "teeny/record/record.h"

namespace teeny::cli {

// Open the model and plan; every refusal that needs no tensor data is thrown here, before libtorch is loaded.
Plan plan_quantize(const QuantizeOptions& options);
Plan plan_convert(const ConvertOptions& options);

Json planned_record(RunRecord& record, const Plan& plan, const QuantizeOptions& options, const Context& context);
Json planned_record(RunRecord& record, const Plan& plan, const ConvertOptions& options, const Context& context);

}  // namespace teeny::cli
