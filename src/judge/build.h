// Compiling in a sandbox: programs, which may attack the compiler, and tests, whose output is kept for other programs.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "judge/sandbox.h"

namespace teeny::judge {

struct Build {
  bool ok = false;
  std::string output;         // what the compiler wrote
  std::string kind, message;  // when not ok: a kind of the protocol (or "time", "output"), and what the compiler says
};

// Runs the language's compiler on one source. Time and memory are limited; neither counts for the program.
Build build(const Sandbox& sandbox, const Toolchain& toolchain, const std::string& source, const std::atomic<int>* interrupted);

// Compiled tests by language and source. For several threads.
class BuildCache {
 public:
  std::shared_ptr<const Build> get(const Sandbox& sandbox, const Toolchain& toolchain, const std::string& source, const std::atomic<int>* interrupted);

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Build>> kept_;
};

}  // namespace teeny::judge
