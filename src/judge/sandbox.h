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

// A language's interpreter on this machine.
struct Toolchain {
  const Language* language = nullptr;
  std::string path, root;  // the real file; the folder to show inside when it is outside the system's ("" otherwise)
  std::string version, problem;  // problem: why it cannot be used
  bool usable() const { return !path.empty() && problem.empty(); }
};
// Every file that could be the interpreter, best first (ELF files only: version managers' shims need their shell).
std::vector<Toolchain> find_toolchains(const Language& language);

struct Limits {
  double cpu_seconds = 3;       // 0: no limit
  uint64_t address_space = 0;   // 0: no limit
  bool trusted = false;         // the driver: may start processes in every tier
};

class Sandbox {
 public:
  // Throws Device with the reason when the tier's parts are missing here.
  Sandbox(Tier tier, const std::vector<Toolchain>& toolchains);
  Tier tier() const { return tier_; }
  SpawnPlan plan(const Toolchain& toolchain, const std::vector<std::string>& arguments, const Limits& limits) const;

 private:
  std::vector<std::string> bwrap_command(const std::vector<std::string>& command) const;
  Tier tier_;
  bool drop_root_ = false;
  std::string bwrap_, prlimit_, filter_bytes_;
  std::vector<std::string> roots_;
  SeccompFilter basic_, strict_;
  Fd ruleset_;
};

}  // namespace teeny::judge
