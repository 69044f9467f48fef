#pragma once
#include "teeny/core/engine.h"

namespace teeny {

Engine* create_engine();  // never freed: lives as long as the process

}  // namespace teeny
