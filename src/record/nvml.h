// NVIDIA's management library, opened when it is there: it comes with the driver, and a machine without one must not need it.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "teeny/core/json.h"

namespace teeny {

class Nvml {
 public:
  static std::shared_ptr<Nvml> open();  // nullptr without a driver
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  unsigned count() const;
  std::string name(unsigned gpu) const;
  // Millijoules since the driver was loaded; nullopt where the GPU has no counter (before Volta).
  std::optional<unsigned long long> energy_mj(unsigned gpu) const;
  // One entry of the record's machine.gpus: what the driver does not tell is null.
  Json facts(unsigned gpu) const;

 private:
  struct Functions;
  Nvml() = default;
  void* handle(unsigned gpu) const;
  void* library_ = nullptr;
  std::unique_ptr<Functions> f_;
};

Json gpu_facts();  // of every GPU that CUDA shows this process, in CUDA's order; [] without a driver
// NVML's number of CUDA's GPU `device`: CUDA_VISIBLE_DEVICES hides and reorders GPUs for CUDA, not for NVML. nullopt: hidden.
std::optional<unsigned> nvml_index(const Nvml& nvml, unsigned device);
// The same as a function of that variable's value and the UUIDs of all GPUs: entries are numbers or starts of UUIDs, and
// CUDA ignores everything after the first that names no GPU (CUDA C++ Programming Guide, environment variables).
std::optional<unsigned> visible_gpu(const std::string& visible, unsigned device, const std::vector<std::string>& uuids);

}  // namespace teeny
