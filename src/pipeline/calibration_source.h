// Which text calibrates: the one given, the one that ships beside the model, or what the model writes itself.
#pragma once
#include "teeny/calib/calibration.h"
#include "teeny/containers/source.h"
#include "teeny/core/engine.h"
#include "teeny/plan/plan.h"

namespace teeny {
Calibration choose_calibration(const TensorSource& source, const Plan& plan, const QuantizeOptions& options, Context& context);
}
