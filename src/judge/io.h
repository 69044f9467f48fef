// Reading what sandboxed processes write.
#pragma once
#include <string>
#include <string_view>

#include "judge/spawn.h"

namespace teeny::judge {

inline constexpr int kTickMs = 100;  // between looks at a process's use of CPU and memory

// Output that is always drained: the first and last 32 KiB are kept, the rest counted.
class Capture {
 public:
  void add(std::string_view bytes);
  uint64_t total() const { return total_; }
  std::string text() const;

 private:
  std::string head_, tail_;
  uint64_t total_ = 0;
};

// Moves what can be moved without waiting. Returns false when the descriptor is finished.
bool drain(const Fd& fd, std::string* into, Capture* capture);

// Without control characters, shortened.
std::string printable(std::string_view text, size_t limit = 600);

}  // namespace teeny::judge
