// Fuzz target: any bytes as a file of sensitivities. Only Input errors may come out, and only usable numbers.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "teeny/core/error.h"
#include "teeny/plan/sensitivity.h"

using namespace teeny;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto sensitivity = parse_sensitivity(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
    if (sensitivity.groups.empty()) std::abort();
    for (const auto& group : sensitivity.groups)
      for (const auto& candidate : group.candidates)
        if (!(candidate.kld >= 0) || !std::isfinite(candidate.kld) || !(candidate.output_error >= 0)) std::abort();
    if (std::isnan(sensitivity.total(0.1))) std::abort();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Input) std::abort();
  }
  return 0;
}
