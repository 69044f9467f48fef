#pragma once
#include "teeny/core/engine.h"

namespace teeny::cli {

int run(int argc, char** argv);  // the exit code; prints results to stdout, everything else to stderr
// With an engine of the caller's instead of libteeny_engine.so (tests); nullptr: opened when a command computes.
int run(int argc, const char* const* argv, Engine* engine);

}  // namespace teeny::cli
