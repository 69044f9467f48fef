#include "pipeline/behind.h"

namespace teeny {
namespace {
constexpr size_t kMostWaiting = 8;  // each may hold a weight's packed bytes
}

Behind::Behind(bool threaded) {
  if (threaded) thread_ = std::thread([this] { run(); });
}

Behind::~Behind() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Behind::give(std::function<void()> work) {
  if (!thread_.joinable()) return work();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || waiting_.size() < kMostWaiting; });
  rethrow(lock);
  waiting_.push_back(std::move(work));
  changed_.notify_all();
}

void Behind::drain() {
  if (!thread_.joinable()) return;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return failure_ || (waiting_.empty() && !busy_); });
  rethrow(lock);
}

void Behind::rethrow(std::unique_lock<std::mutex>& lock) {
  if (!failure_) return;
  const auto failure = failure_;
  lock.unlock();
  std::rethrow_exception(failure);
}

void Behind::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const auto work = std::move(waiting_.front());
    waiting_.pop_front();
    busy_ = true;
    lock.unlock();
    std::exception_ptr failure;
    try {
      work();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    busy_ = false;
    if (failure) failure_ = failure, waiting_.clear();
    changed_.notify_all();
  }
}

}  // namespace teeny
