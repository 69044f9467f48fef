// The lanes of a GPU that worker threads take turns on.
#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "teeny/encodings/device_rows.h"

namespace teeny {

class DeviceLanes {
 public:
  DeviceLanes(int device, int64_t elements) : device_(device), elements_(elements) {}
  int64_t elements() const { return elements_; }  // weights that fit a lane
  // A lane that nobody uses, made when there is none. On a GPU without room for another one the caller waits for its turn;
  // Device error when not even one fits.
  std::unique_ptr<DeviceRows> take();
  void give(std::unique_ptr<DeviceRows> lane);
  uint64_t device_bytes() const;  // of all lanes; they are kept to the end

 private:
  int device_;
  int64_t elements_;
  mutable std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<DeviceRows>> idle_;
  size_t made_ = 0;
  uint64_t bytes_ = 0;
  bool full_ = false;
};

}  // namespace teeny
