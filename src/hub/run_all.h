// Runs body(i, stop) for i in [0, n) on up to `threads` threads. The first exception stops the others and is rethrown.
#pragma once
#include <atomic>
#include <exception>
#include <functional>
#include <mutex>

#include "teeny/core/parallel.h"

namespace teeny::hub {

inline void run_all(size_t n, int threads, const std::function<void(size_t, const std::atomic<bool>&)>& body) {
  std::atomic<bool> stop{false};
  std::exception_ptr first;
  std::mutex mutex;
  parallel_for(n, threads, [&](size_t i) {
    if (stop.load()) return;
    try {
      body(i, stop);
    } catch (...) {
      std::lock_guard lock(mutex);
      if (!first) first = std::current_exception();
      stop.store(true);
    }
  });
  if (first) std::rethrow_exception(first);
}

}  // namespace teeny::hub
