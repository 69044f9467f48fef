#include "cli/signals.h"

#include <initializer_list>
#include <signal.h>
#include <unistd.h>

namespace teeny::cli {
namespace {

std::atomic<int> interrupted{0};
static_assert(std::atomic<int>::is_always_lock_free, "used in a signal handler");

void on_stop(int signal) {
  if (interrupted.exchange(signal) != 0) ::_exit(128 + signal);
  constexpr char kText[] = "\nteeny: stopping at the next safe point; the same signal again ends at once\n";
  [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, kText, sizeof kText - 1);
}

void on_pipe(int) {}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  action.sa_handler = on_stop;
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    // A signal that the parent chose to ignore (nohup) stays ignored.
    if (::sigaction(signal, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    ::sigaction(signal, &action, nullptr);
  }
  action.sa_handler = on_pipe;
  ::sigaction(SIGPIPE, &action, nullptr);
  ::sigaction(SIGXFSZ, &action, nullptr);  // a file beyond the process's limit is a failed write, not a death
}

const std::atomic<int>& interrupted_flag() { return interrupted; }

}  // namespace teeny::cli
