// Which encoding of another format holds codes exactly as they are stored.
#pragma once
#include "teeny/family/stored.h"
#include "teeny/plan/plan.h"

namespace teeny {

// Input error with the reason, and with what can hold them, when `format` cannot.
EncodingSpec recoded(const TensorSource& source, const StoredWeight& stored, const std::string& format, const std::string& module, int64_t K);
// Bits, group and the like of a plan of recoded weights; one label for all where a format has only one.
void settle_recoded(Plan& plan, const TensorSource& source, const QuantConfig& quant);
// The type of a plain tensor of a Hugging Face source, `otherwise` when it has none that checkpoints keep.
DType stored_type(const TensorSource& source, const std::string& name, DType otherwise);

}  // namespace teeny
