#include "teeny/record/energy_meter.h"

#include <dlfcn.h>

#include <charconv>

#include "record/energy.h"

namespace teeny {

// NVML is opened when a GPU is measured: it comes with the driver, and a machine without one must not need it.
struct EnergyMeter::Gpu {
  using Handle = void*;
  void* library = nullptr;
  Handle handle = nullptr;
  int (*energy)(Handle, unsigned long long*) = nullptr;  // millijoules since the driver was loaded
  int (*shutdown)() = nullptr;
  std::string name;

  ~Gpu() {
    if (shutdown) shutdown();
    if (library) ::dlclose(library);
  }

  template <class F>
  bool find(F& function, const char* symbol) {
    function = reinterpret_cast<F>(::dlsym(library, symbol));
    return function != nullptr;
  }

  static std::unique_ptr<Gpu> open(unsigned index) {
    auto gpu = std::make_unique<Gpu>();
    gpu->library = ::dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (!gpu->library) return nullptr;
    int (*init)() = nullptr;
    int (*by_index)(unsigned, Handle*) = nullptr;
    int (*name_of)(Handle, char*, unsigned) = nullptr;
    if (!gpu->find(init, "nvmlInit_v2") || !gpu->find(by_index, "nvmlDeviceGetHandleByIndex_v2") || !gpu->find(name_of, "nvmlDeviceGetName")) return nullptr;
    if (init() != 0) return nullptr;
    gpu->find(gpu->shutdown, "nvmlShutdown");
    if (by_index(index, &gpu->handle) != 0) return nullptr;
    char text[96] = {};
    if (name_of(gpu->handle, text, sizeof text - 1) == 0) gpu->name = text;
    unsigned long long now = 0;
    if (!gpu->find(gpu->energy, "nvmlDeviceGetTotalEnergyConsumption") || gpu->energy(gpu->handle, &now) != 0) gpu->energy = nullptr;
    return gpu;
  }
};

EnergyMeter::EnergyMeter(const std::string& device) {
  if (!device.starts_with("cuda")) return;
  unsigned index = 0;
  if (const auto colon = device.find(':'); colon != std::string::npos) std::from_chars(device.data() + colon + 1, device.data() + device.size(), index);
  gpu_ = Gpu::open(index);
}

EnergyMeter::~EnergyMeter() = default;

std::string EnergyMeter::source() const {
  if (gpu_ && gpu_->energy) return "nvml-counter";
  return read_rapl().empty() ? "not measured" : "rapl";
}

std::string EnergyMeter::device_name() const { return gpu_ ? gpu_->name : ""; }

void EnergyMeter::start() {
  if (gpu_ && gpu_->energy)
    gpu_->energy(gpu_->handle, &gpu_start_);
  else
    cpu_start_ = read_rapl();
}

std::optional<double> EnergyMeter::joules() const {
  if (!gpu_ || !gpu_->energy) return rapl_joules(cpu_start_, read_rapl());
  unsigned long long now = 0;
  if (gpu_->energy(gpu_->handle, &now) != 0 || now < gpu_start_) return std::nullopt;
  return double(now - gpu_start_) * 1e-3;
}

}  // namespace teeny
