#pragma once

namespace teeny::cli {

int run(int argc, char** argv);  // the exit code; prints results to stdout, everything else to stderr

}  // namespace teeny::cli
