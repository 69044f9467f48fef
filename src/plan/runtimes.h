// Who can load what the plan writes (formats.md section 0).
#pragma once
#include "teeny/plan/plan.h"

namespace teeny {
std::vector<std::pair<std::string, std::string>> runtimes_of(const Plan& plan);
}
