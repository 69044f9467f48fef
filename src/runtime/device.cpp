#include "teeny/runtime/device.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <fstream>

#include "teeny/core/error.h"

namespace teeny {
namespace {

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
  at::globalContext().lazyInitDevice(at::kCUDA);
  return device;
}

Json list_devices() {
  Json devices = Json::array();
  std::string problem;
  if (!open_cuda_library(&problem)) return devices;
  const auto& hooks = at::detail::getCUDAHooks();
  for (int i = 0; i < hooks.deviceCount(); ++i) devices.push_back({{"name", "cuda:" + std::to_string(i)}});
  return devices;
}

uint64_t available_host_bytes() {
  std::ifstream in("/proc/meminfo");
  std::string key, unit;
  for (uint64_t value; in >> key >> value; in >> unit)
    if (key == "MemAvailable:") return value * 1024;
  return 0;
}

uint64_t peak_device_memory(at::Device) { return 0; }

}  // namespace teeny
