// System call filters, built by hand: a deny-list for programs that run in a sandbox.
#pragma once
#include <linux/filter.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace teeny::judge {

// strict: for the tier without namespaces. Also no new processes (threads are fine), no new sessions or process groups
// (so that one kill reaches everything), and signals only to the process itself, whose id is patched in when
// the process exists.
struct SeccompFilter {
  std::vector<sock_filter> code;
  std::vector<size_t> pid_slots;  // instructions whose k is the process's own id
};
SeccompFilter make_filter(bool strict);

}  // namespace teeny::judge
