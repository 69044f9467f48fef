// Work that one thread does behind the caller's back, in the order it was given: the output's bytes, while a GPU computes.
#pragma once
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace teeny {

class Behind {
 public:
  // Without `threaded` everything is done at once, on the calling thread.
  explicit Behind(bool threaded);
  ~Behind();  // waits for what was given
  Behind(const Behind&) = delete;
  Behind& operator=(const Behind&) = delete;
  void give(std::function<void()> work);  // rethrows what earlier work threw; waits when much is waiting
  void drain();                           // until all of it is done; rethrows too

 private:
  void run();
  void rethrow(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  std::exception_ptr failure_;
  bool busy_ = false, stop_ = false;
  std::thread thread_;
};

}  // namespace teeny
