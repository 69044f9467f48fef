#include "teeny/runtime/device.h"

#include <ATen/Parallel.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <dlfcn.h>

#include <atomic>
#include <fstream>

#include "teeny/core/error.h"
#include "teeny/kernels/cuda.h"

namespace teeny {
namespace {

std::atomic<bool> cuda_in_use{false};  // by libtorch

bool open_cuda_library(std::string* problem) {
  static const bool opened = [] { return ::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr; }();
  if (!opened) *problem = "libtorch was built without CUDA (libtorch_cuda.so cannot be opened)";
  else if (!at::hasCUDA()) *problem = "no usable NVIDIA GPU or driver was found";
  return opened && at::hasCUDA();
}

}  // namespace

at::Device open_device(const Context& context) {
  at::set_num_threads(context.thread_count());
  if (context.device.empty() || context.device == "cpu") return at::kCPU;
  if (!context.device.starts_with("cuda"))
    throw usage_error("device", context.device, "is not known; use cpu, cuda or cuda:N");
  std::string problem;
  if (!open_cuda_library(&problem)) throw device_error("device", context.device, "{}; use --device cpu, or see `teeny doctor`", problem);
  const at::Device device(context.device == "cuda" ? "cuda:0" : context.device);
  const auto count = at::detail::getCUDAHooks().deviceCount();
  if (device.index() >= count) throw device_error("device", context.device, "does not exist: this machine has {} GPU(s); see `teeny doctor`", count);
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setAllowFP16ReductionCuBLAS(false, true);
  at::globalContext().lazyInitDevice(at::kCUDA);
  if (cuda::built()) cuda::set_device(device.index());
  cuda_in_use = true;
  return device;
}

int kernel_device(const Context& context) {
  if (!context.device.starts_with("cuda")) return -1;
  const at::Device device(context.device);
  const int index = device.has_index() ? device.index() : 0, count = cuda::device_count();
  if (!cuda::built()) cuda::set_device(index);  // says that the build has no kernels
  if (count == 0) throw device_error("device", context.device, "no usable NVIDIA GPU or driver was found; use --device cpu, or see `teeny doctor`");
  if (index >= count) throw device_error("device", context.device, "does not exist: this machine has {} GPU(s); see `teeny doctor`", count);
  cuda::set_device(index);
  return index;
}

Json list_devices() {
  Json devices = Json::array();
  std::string problem;
  if (!open_cuda_library(&problem)) return devices;
  const auto& hooks = at::detail::getCUDAHooks();
  for (int i = 0; i < hooks.deviceCount(); ++i) {
    Json device = {{"name", "cuda:" + std::to_string(i)}};
    if (cuda::built()) {
      const auto facts = cuda::device_facts(i);
      device["model"] = facts.name, device["memory_bytes"] = facts.memory_bytes, device["sm_count"] = facts.sm_count;
      device["compute_capability"] = fmt::format("{}.{}", facts.major, facts.minor);
    }
    devices.push_back(device);
  }
  return devices;
}

uint64_t available_host_bytes() {
  std::ifstream in("/proc/meminfo");
  std::string key, unit;
  for (uint64_t value; in >> key >> value; in >> unit)
    if (key == "MemAvailable:") return value * 1024;
  return 0;
}

uint64_t peak_device_memory(at::Device device) {
  if (!device.is_cuda() || !cuda_in_use) return 0;
  const auto stats = at::getDeviceAllocator(device.type())->getDeviceStats(device.has_index() ? device.index() : at::DeviceIndex(0));
  return uint64_t(stats.reserved_bytes[size_t(c10::CachingAllocator::StatType::AGGREGATE)].peak);
}

}  // namespace teeny
