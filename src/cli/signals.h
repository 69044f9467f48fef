// SIGINT, SIGTERM and SIGHUP ask the running command to stop at its next unit of work; the second one ends the process.
#pragma once
#include <atomic>

namespace teeny::cli {

// Also keeps SIGPIPE and SIGXFSZ from killing the process (a handler, not SIG_IGN: child processes do not inherit it).
void install_signal_handlers();
const std::atomic<int>& interrupted_flag();

}  // namespace teeny::cli
