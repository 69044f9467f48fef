// Joules that a device took between two moments: the GPU's own counter (NVML), else the CPU packages' (RAPL).
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "teeny/core/json.h"

namespace teeny {

class Nvml;

class EnergyMeter {
 public:
  explicit EnergyMeter(const std::string& device);  // "cpu", "cuda:1"
  ~EnergyMeter();
  EnergyMeter(const EnergyMeter&) = delete;
  EnergyMeter& operator=(const EnergyMeter&) = delete;

  std::string source() const;           // "nvml-counter", "rapl" or "not measured"
  std::string device_name() const;      // of the GPU; empty on the CPU or without NVML
  void start();
  std::optional<double> joules() const;  // since start()

 private:
  bool counts_gpu() const;
  std::shared_ptr<Nvml> nvml_;  // nullptr on the CPU or without a driver
  unsigned gpu_ = 0;
  std::vector<uint64_t> cpu_start_;
  unsigned long long gpu_start_ = 0;
};

}  // namespace teeny
