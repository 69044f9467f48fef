// Energy counters of the CPU packages (Linux powercap, "RAPL"): readable by root, and by others where allowed.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace teeny {

std::vector<uint64_t> read_rapl();  // microjoules per package; empty: none readable
// Joules between two readings; a counter that wrapped is unwrapped once. nullopt: not measured.
std::optional<double> rapl_joules(const std::vector<uint64_t>& before, const std::vector<uint64_t>& after);

}  // namespace teeny
