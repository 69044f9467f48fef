#include "record/energy.h"

#include <fmt/format.h>

#include <fstream>

namespace teeny {
namespace {
constexpr int kMaxPackages = 16;

std::optional<uint64_t> read_number(int package, const char* name) {
  std::ifstream in(fmt::format("/sys/class/powercap/intel-rapl:{}/{}", package, name));
  uint64_t value = 0;
  return in >> value ? std::optional(value) : std::nullopt;
}
}  // namespace

std::vector<uint64_t> read_rapl() {
  std::vector<uint64_t> out;
  for (int package = 0; package < kMaxPackages; ++package) {
    const auto value = read_number(package, "energy_uj");
    if (!value) break;
    out.push_back(*value);
  }
  return out;
}

std::optional<double> rapl_joules(const std::vector<uint64_t>& before, const std::vector<uint64_t>& after) {
  if (before.empty() || before.size() != after.size()) return std::nullopt;
  double microjoules = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    if (after[i] >= before[i]) {
      microjoules += double(after[i] - before[i]);
    } else {
      const auto range = read_number(int(i), "max_energy_range_uj");
      if (!range || *range < before[i]) return std::nullopt;
      microjoules += double(*range - before[i] + after[i]);
    }
  }
  return microjoules * 1e-6;
}

}  // namespace teeny
