// What a process and all its descendants use, read from /proc.
#pragma once
#include <sys/types.h>

#include <cstdint>

namespace teeny::judge {

struct Usage {
  double cpu_seconds = 0;     // in steps of a clock tick (10 ms)
  uint64_t memory_bytes = 0;  // proportional: pages shared by several processes count once
};
// `precise_memory` reads the kernel's proportional figure (slower); otherwise the resident size is summed, which is an
// upper bound.
Usage tree_usage(pid_t root, bool precise_memory);

}  // namespace teeny::judge
