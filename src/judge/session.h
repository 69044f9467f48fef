// One program judged: a fresh worker, a driver that may have judged others before, and the relay between them.
#pragma once
#include <atomic>
#include <string>

#include "judge/build.h"
#include "judge/io.h"
#include "teeny/judge/judge.h"

namespace teeny::judge {

// A process that speaks frames.
struct Peer {
  Process process;
  std::string sending, received;
  size_t sent = 0;      // bytes of `sending` that are gone
  Capture output, errors;
  bool closed = false;  // its channel ended
  void send(char kind, std::string_view body);
};

inline constexpr std::string_view kSandboxFailed = "the sandbox could not be started: ";
inline constexpr std::string_view kTestDied = "the test process ended while it handled what the program returned";

struct SessionOptions {
  const Sandbox* sandbox = nullptr;
  const Toolchain* toolchain = nullptr;
  double timeout_s = 3;
  uint64_t memory_bytes = 0, output_quota = 0;
  const std::atomic<int>* interrupted = nullptr;
  BuildCache* tests = nullptr;  // compiled languages need one
};

// `driver` is started when it is not alive, and left dead after anything unusual. `source` is the whole program, but for
// the closing() that a test of MultiPL-E's form brings.
Verdict judge_program(const SessionOptions& options, const Problem& problem, const std::string& source, Peer& driver);

// Runs a command in the sandbox and returns what it printed; "" when it failed. For version queries.
std::string run_command(const Sandbox& sandbox, const Toolchain& toolchain, const std::vector<std::string>& arguments);

}  // namespace teeny::judge
