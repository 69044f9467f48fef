#include "teeny/core/context.h"

#include <sched.h>

#include <algorithm>

#include "teeny/core/error.h"

namespace teeny {

void Context::warn(std::string code, std::string message) {
  if (log) log->write(LogLevel::Warn, message);
  std::lock_guard lock(mutex_);
  warnings_.push_back({std::move(code), std::move(message)});
}

void Context::check_interrupted() const {
  if (interrupted && interrupted->load())
    throw Error(ErrorKind::Interrupted, "interrupted", "signal " + std::to_string(interrupted->load()), "stopped on request");
}

int Context::thread_count() const {
  if (threads > 0) return threads;
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

}  // namespace teeny
