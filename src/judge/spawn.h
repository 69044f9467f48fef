// Child processes of the judge: started without copying the parent's memory, with a private channel, with every other
// descriptor closed, and always killed and reaped by the end of their object.
#pragma once
#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "judge/seccomp.h"

namespace teeny::judge {

// An owned file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  int get() const { return fd_; }
  void reset();

 private:
  int fd_ = -1;
};

struct SpawnPlan {
  std::vector<std::string> argv, envp;
  std::vector<std::pair<int, rlimit>> limits;
  bool drop_root = false;     // become nobody first
  std::string bwrap_filter;   // bytes given to the child at descriptor 5
  int landlock_ruleset = -1;  // restrict the child by it
  SeccompFilter filter;       // installed in the child when not empty
};

// Exit statuses of a child that could not become what the plan says (env(1) and bwrap use other values).
inline constexpr int kSetupFailed = 119;

class Process {
 public:
  Process() = default;
  explicit Process(const SpawnPlan& plan);  // throws Device when it cannot be started
  ~Process() { kill_and_wait(); }
  Process(Process&& other) noexcept { *this = std::move(other); }
  Process& operator=(Process&& other) noexcept;

  bool alive() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }
  Fd to, from, out, err, exited;  // channel (parent's ends, non-blocking), output pipes, pidfd
  // Kills the process group, reaps, and returns the wait status. Idempotent.
  int kill_and_wait();
  // Reaps when it has ended by itself (waits for that); returns the wait status.
  int wait();
  double reaped_cpu_seconds() const { return cpu_seconds_; }

 private:
  int reap(bool kill_first);
  pid_t pid_ = -1;
  int status_ = 0;
  double cpu_seconds_ = 0;
};

// While alive, writing to a dead process's channel is an error and not a signal for this thread.
class SigpipeBlock {
 public:
  SigpipeBlock();
  ~SigpipeBlock();

 private:
  bool was_blocked_ = false, was_pending_ = false;
};

}  // namespace teeny::judge
