// The one symbol by which the executable enters the engine library.
#include "engine/engine.h"

extern "C" teeny::Engine* teeny_engine_create() { return teeny::create_engine(); }
