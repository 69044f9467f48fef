// Where programs run: bubblewrap (namespaces), Landlock with strict system call rules, or nothing at all.
#pragma once
#include <string>
#include <vector>

#include "judge/language.h"
#include "judge/landlock.h"
#include "judge/spawn.h"

namespace teeny::judge {

enum class Tier { None, Bubblewrap, Landlock, Unsandboxed };
std::string_view tier_name(Tier tier);

// A language's programs on this machine.
struct Toolchain {
  const Language* language = nullptr;
  Language::Tools tools;           // the real files: interpreter or compiler, then the companions
  std::vector<std::string> roots;  // folders to show inside that are outside the system's
  std::string version;
  const std::string& path() const { return tools[0]; }
};
// Every file that could be the interpreter, best first (ELF files only: version managers' shims need their shell); empty
// when a companion is missing.
std::vector<Toolchain> find_toolchains(const Language& language);
// What is not there, with the packages that have it; "" when everything is.
std::string missing_programs(const Language& language);

struct Limits {
  double cpu_seconds = 3;       // 0: no limit
  uint64_t address_space = 0;   // 0: no limit
  bool trusted = false;         // the driver: may start processes in every tier
  int processes = 32;           // and threads, per sandbox
};

class Sandbox {
 public:
  // Throws Device with the reason when the tier's parts are missing here.
  Sandbox(Tier tier, const std::vector<Toolchain>& toolchains);
  Tier tier() const { return tier_; }
  // Languages that start processes and write files (compilers, shells) run only where both end with the sandbox.
  bool may_start_processes() const { return tier_ == Tier::Bubblewrap; }
  SpawnPlan plan(const std::vector<std::string>& command, const Limits& limits) const;

 private:
  std::vector<std::string> bwrap_command(const std::vector<std::string>& command, int processes) const;
  Tier tier_;
  bool drop_root_ = false;
  std::string bwrap_, prlimit_, filter_bytes_;
  std::vector<std::string> roots_;  // shown inside beside the system's folders
  SeccompFilter basic_, strict_;
  Fd ruleset_;
};

}  // namespace teeny::judge
