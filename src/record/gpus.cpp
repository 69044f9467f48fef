// The GPUs of this machine as the driver's management library (NVML) describes them; [] without one.
#include <dlfcn.h>

#include <filesystem>

#include "record/gpus.h"

namespace teeny {
namespace {

using Handle = void*;

template <class F>
bool find(void* library, F& function, const char* symbol) {
  function = reinterpret_cast<F>(::dlsym(library, symbol));
  return function != nullptr;
}

struct Memory {
  unsigned long long total, free, used;
};

constexpr int kSmClock = 1, kMemoryClock = 2;

}  // namespace

Json gpu_list() {
  Json out = Json::array();
  std::error_code error;
  if (!std::filesystem::exists("/dev/nvidiactl", error)) return out;
  void* library = ::dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (!library) return out;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count_of)(unsigned*) = nullptr;
  int (*by_index)(unsigned, Handle*) = nullptr;
  int (*name_of)(Handle, char*, unsigned) = nullptr;
  int (*memory_of)(Handle, Memory*) = nullptr;
  int (*power_limit)(Handle, unsigned*) = nullptr;
  int (*clock)(Handle, int, unsigned*) = nullptr;
  int (*top_clock)(Handle, int, unsigned*) = nullptr;
  int (*cores)(Handle, unsigned*) = nullptr;
  int (*capability)(Handle, int*, int*) = nullptr;
  int (*driver)(char*, unsigned) = nullptr;
  unsigned count = 0;
  if (find(library, init, "nvmlInit_v2") && find(library, count_of, "nvmlDeviceGetCount_v2") && find(library, by_index, "nvmlDeviceGetHandleByIndex_v2") &&
      find(library, name_of, "nvmlDeviceGetName") && init() == 0) {
    find(library, shutdown, "nvmlShutdown");
    char text[96] = {};
    std::string version;
    if (find(library, driver, "nvmlSystemGetDriverVersion") && driver(text, sizeof text - 1) == 0) version = text;
    if (count_of(&count) != 0) count = 0;
    for (unsigned i = 0; i < count; ++i) {
      Handle handle = nullptr;
      if (by_index(i, &handle) != 0 || name_of(handle, text, sizeof text - 1) != 0) continue;
      Json gpu = {{"name", text}, {"memory_bytes", 0}, {"driver", version.empty() ? Json() : Json(version)}, {"sm_count", Json()}, {"power_limit_w", Json()}, {"clocks", Json()}, {"index", i}};
      Memory memory{};
      unsigned value = 0;
      int major = 0, minor = 0;
      if (find(library, memory_of, "nvmlDeviceGetMemoryInfo") && memory_of(handle, &memory) == 0) gpu["memory_bytes"] = memory.total;
      if (find(library, power_limit, "nvmlDeviceGetEnforcedPowerLimit") && power_limit(handle, &value) == 0) gpu["power_limit_w"] = value / 1000.0;
      if (find(library, capability, "nvmlDeviceGetCudaComputeCapability") && capability(handle, &major, &minor) == 0) {
        gpu["compute_capability"] = std::to_string(major) + "." + std::to_string(minor);
        const unsigned cores_a_multiprocessor = major == 8 && minor == 0 ? 64 : 128;  // of the generations that the kernels support
        if (major >= 8 && find(library, cores, "nvmlDeviceGetNumGpuCores") && cores(handle, &value) == 0) gpu["sm_count"] = value / cores_a_multiprocessor;
      }
      Json clocks = Json::object();
      if (find(library, clock, "nvmlDeviceGetClockInfo") && clock(handle, kSmClock, &value) == 0) clocks["sm"] = value;
      if (clock && clock(handle, kMemoryClock, &value) == 0) clocks["memory"] = value;
      if (find(library, top_clock, "nvmlDeviceGetMaxClockInfo") && top_clock(handle, kSmClock, &value) == 0) clocks["max_sm"] = value;
      if (!clocks.empty()) gpu["clocks"] = clocks;
      out.push_back(gpu);
    }
    if (shutdown) shutdown();
  }
  ::dlclose(library);
  return out;
}

}  // namespace teeny
