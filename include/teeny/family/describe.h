// The `model` block of a result record: what a file is, from its headers alone.
#pragma once
#include <string>

#include "teeny/core/json.h"
#include "teeny/family/spec.h"

namespace teeny {

// `hash`: sha256 of the bytes (of the files' digests when there are several); else sha256 is null.
Json describe_model(const TensorSource& source, const ModelSpec& spec, const QuantConfig& quant, bool hash);

}  // namespace teeny
