// Landlock: file access by an allow-list, without namespaces or privileges (landlock(7)).
#pragma once
#include <string>
#include <vector>

#include "judge/spawn.h"

namespace teeny::judge {

int landlock_version();  // 0: the kernel has none
// Reading and executing beneath `readable` only (paths that do not exist are skipped), no writing but to /dev/null, no
// TCP, no signals or abstract sockets to the outside where the kernel knows these. Throws Device on failure.
Fd make_landlock_ruleset(const std::vector<std::string>& readable);

}  // namespace teeny::judge
