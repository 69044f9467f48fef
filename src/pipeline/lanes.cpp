#include "pipeline/lanes.h"

#include "teeny/core/error.h"

namespace teeny {

std::unique_ptr<DeviceRows> DeviceLanes::take() {
  std::unique_lock lock(mutex_);
  if (idle_.empty() && !full_) {
    try {
      auto lane = DeviceRows::make(device_, elements_);
      ++made_, bytes_ += lane->device_bytes();
      return lane;
    } catch (const Error&) {
      if (made_ == 0) throw;
      full_ = true;
    }
  }
  returned_.wait(lock, [&] { return !idle_.empty(); });
  auto lane = std::move(idle_.back());
  idle_.pop_back();
  return lane;
}

void DeviceLanes::give(std::unique_ptr<DeviceRows> lane) {
  {
    std::lock_guard lock(mutex_);
    idle_.push_back(std::move(lane));
  }
  returned_.notify_one();
}

uint64_t DeviceLanes::device_bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace teeny
