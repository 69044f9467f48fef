// Private to the record: what machine.gpus holds.
#pragma once
#include "teeny/core/json.h"

namespace teeny {

// As docs/result.schema.json has them; null where the library does not say.
Json gpu_list();

}  // namespace teeny
