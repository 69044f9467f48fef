#include "teeny/record/energy_meter.h"

#include <charconv>

#include "record/energy.h"
#include "record/nvml.h"

namespace teeny {

EnergyMeter::EnergyMeter(const std::string& device) {
  if (!device.starts_with("cuda")) return;
  unsigned index = 0;
  if (const auto colon = device.find(':'); colon != std::string::npos) std::from_chars(device.data() + colon + 1, device.data() + device.size(), index);
  nvml_ = Nvml::open();
  const auto gpu = nvml_ ? nvml_index(*nvml_, index) : std::nullopt;
  if (gpu) gpu_ = *gpu;
  else nvml_.reset();
}

EnergyMeter::~EnergyMeter() = default;

bool EnergyMeter::counts_gpu() const { return nvml_ && nvml_->energy_mj(gpu_); }

std::string EnergyMeter::source() const {
  if (counts_gpu()) return "nvml-counter";
  return read_rapl().empty() ? "not measured" : "rapl";
}

std::string EnergyMeter::device_name() const { return nvml_ ? nvml_->name(gpu_) : ""; }

void EnergyMeter::start() {
  if (counts_gpu())
    gpu_start_ = nvml_->energy_mj(gpu_).value_or(0);
  else
    cpu_start_ = read_rapl();
}

std::optional<double> EnergyMeter::joules() const {
  if (!counts_gpu()) return rapl_joules(cpu_start_, read_rapl());
  const auto now = nvml_->energy_mj(gpu_);
  if (!now || *now < gpu_start_) return std::nullopt;
  return double(*now - gpu_start_) * 1e-3;
}

}  // namespace teeny
