// vfork-like clone: the parent may hold a model of many gigabytes, whose page tables a fork would copy.
#include "judge/spawn.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "teeny/core/error.h"

namespace teeny::judge {
namespace {

constexpr unsigned kNobody = 65534;
constexpr int kFirstFree = 64;         // sources are moved here before they take their final numbers
constexpr size_t kStackBytes = 64 << 10;

// Everything the child needs, made before it exists: it shares our memory and may only make system calls.
struct ChildPlan {
  char* const* argv;
  char* const* envp;
  const std::pair<int, rlimit>* limits;
  size_t limit_count;
  int fds[6];
  int fd_count;
  int landlock;
  bool drop_root;
  sock_fprog filter;
  const size_t* pid_slots;
  size_t pid_slot_count;
};

bool drop_to_nobody() {  // raw calls: libc's wrappers would signal the parent's threads
  return syscall(SYS_setgroups, 0, nullptr) == 0 && syscall(SYS_setresgid, kNobody, kNobody, kNobody) == 0 &&
         syscall(SYS_setresuid, kNobody, kNobody, kNobody) == 0;
}

int child_main(void* argument) {
  ChildPlan& p = *static_cast<ChildPlan*>(argument);
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  for (int s = 1; s < 32; ++s)
    if (s != SIGKILL && s != SIGSTOP) sigaction(s, &plain, nullptr);
  int moved[7];
  for (int i = 0; i < p.fd_count; ++i)
    if ((moved[i] = fcntl(p.fds[i], F_DUPFD, kFirstFree)) < 0) _exit(kSetupFailed);
  int landlock = p.landlock >= 0 ? fcntl(p.landlock, F_DUPFD_CLOEXEC, kFirstFree) : -1;
  for (int i = 0; i < p.fd_count; ++i)
    if (dup2(moved[i], i) < 0) _exit(kSetupFailed);
  if (landlock >= 0) landlock = dup3(landlock, p.fd_count, O_CLOEXEC);
  syscall(SYS_close_range, unsigned(p.fd_count + (landlock >= 0 ? 1 : 0)), ~0u, 0);
  setsid();
  for (size_t i = 0; i < p.limit_count; ++i) {
    rlimit limit = p.limits[i].second, now{};
    getrlimit(p.limits[i].first, &now);
    if (limit.rlim_max > now.rlim_max) limit.rlim_max = now.rlim_max;
    if (limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
    if (setrlimit(p.limits[i].first, &limit)) _exit(kSetupFailed);
  }
  if (p.drop_root && !drop_to_nobody()) _exit(kSetupFailed);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (chdir("/")) _exit(kSetupFailed);
  if (landlock >= 0 || p.filter.len) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) _exit(kSetupFailed);
    if (landlock >= 0 && syscall(SYS_landlock_restrict_self, landlock, 0)) _exit(kSetupFailed);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (p.filter.len) {
    for (size_t i = 0; i < p.pid_slot_count; ++i) p.filter.filter[p.pid_slots[i]].k = uint32_t(syscall(SYS_getpid));
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p.filter)) _exit(kSetupFailed);
  }
  execve(p.argv[0], p.argv, p.envp);
  _exit(kSetupFailed);
}

struct Pipe {
  Fd read, write;
  Pipe() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC)) throw device_error("judge", "pipe", "{}; raise the limit on open files (ulimit -n)", std::strerror(errno));
    read = Fd(fds[0]);
    write = Fd(fds[1]);
  }
};

void set_nonblocking(const Fd& fd) { fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK); }

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

}  // namespace

void Fd::reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Process::Process(const SpawnPlan& plan) {
  Pipe in, channel_out, stdout_pipe, stderr_pipe, filter_pipe;
  Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!plan.bwrap_filter.empty() &&  // far below a pipe's capacity
      write(filter_pipe.write.get(), plan.bwrap_filter.data(), plan.bwrap_filter.size()) != ssize_t(plan.bwrap_filter.size()))
    throw device_error("judge", "pipe", "cannot hand over the system call filter: {}", std::strerror(errno));
  filter_pipe.write.reset();
  std::vector<char*> argv = pointers(plan.argv), envp = pointers(plan.envp);
  SeccompFilter filter = plan.filter;
  ChildPlan child{argv.data(), envp.data(), plan.limits.data(), plan.limits.size(),
                  {null.get(), stdout_pipe.write.get(), stderr_pipe.write.get(), in.read.get(), channel_out.write.get(), filter_pipe.read.get()},
                  plan.bwrap_filter.empty() ? 5 : 6, plan.landlock_ruleset, plan.drop_root,
                  {static_cast<unsigned short>(filter.code.size()), filter.code.data()}, filter.pid_slots.data(), filter.pid_slots.size()};
  std::vector<char> stack(kStackBytes);
  char* top = reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(stack.data() + stack.size()) & ~uintptr_t(63));
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = clone(child_main, top, CLONE_VM | CLONE_VFORK | SIGCHLD, &child);
  int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) throw device_error("judge", plan.argv[0], "cannot start a process: {}; raise the limit on processes", std::strerror(error));
  pid_ = pid;
  exited = Fd(int(syscall(SYS_pidfd_open, pid, 0)));
  to = std::move(in.write);
  from = std::move(channel_out.read);
  out = std::move(stdout_pipe.read);
  err = std::move(stderr_pipe.read);
  for (const Fd* fd : {&to, &from, &out, &err}) set_nonblocking(*fd);
}

Process& Process::operator=(Process&& other) noexcept {
  if (this == &other) return *this;
  kill_and_wait();
  to = std::move(other.to);
  from = std::move(other.from);
  out = std::move(other.out);
  err = std::move(other.err);
  exited = std::move(other.exited);
  pid_ = std::exchange(other.pid_, -1);
  status_ = other.status_;
  cpu_seconds_ = other.cpu_seconds_;
  return *this;
}

int Process::reap(bool kill_first) {
  if (pid_ <= 0) return status_;
  siginfo_t info;
  if (!kill_first)  // leaves the zombie, so that its group's number cannot be somebody else's yet
    while (waitid(P_PID, id_t(pid_), &info, WEXITED | WNOWAIT) && errno == EINTR) {}
  ::kill(-pid_, SIGKILL);  // its own session and group
  rusage usage{};
  pid_t got;
  do got = wait4(pid_, &status_, 0, &usage);
  while (got < 0 && errno == EINTR);
  cpu_seconds_ = double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
  pid_ = -1;
  return status_;
}

int Process::kill_and_wait() { return reap(true); }
int Process::wait() { return reap(false); }

SigpipeBlock::SigpipeBlock() {
  sigset_t pipe_set, pending, before;
  sigemptyset(&pipe_set);
  sigaddset(&pipe_set, SIGPIPE);
  sigpending(&pending);
  was_pending_ = sigismember(&pending, SIGPIPE) == 1;
  pthread_sigmask(SIG_BLOCK, &pipe_set, &before);
  was_blocked_ = sigismember(&before, SIGPIPE) == 1;
}

SigpipeBlock::~SigpipeBlock() {
  sigset_t pipe_set;
  sigemptyset(&pipe_set);
  sigaddset(&pipe_set, SIGPIPE);
  if (!was_pending_) {
    timespec zero{};
    while (sigtimedwait(&pipe_set, nullptr, &zero) > 0) {}
  }
  if (!was_blocked_) pthread_sigmask(SIG_UNBLOCK, &pipe_set, nullptr);
}

}  // namespace teeny::judge
