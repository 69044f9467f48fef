// Fuzz target: any bytes as an imatrix file in its older form. Only Input errors may come out, and only usable numbers.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "teeny/containers/imatrix.h"
#include "teeny/core/error.h"

using namespace teeny;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto imatrix = parse_imatrix_dat(std::as_bytes(std::span(data, size)), "fuzz");
    if (imatrix.entries.empty()) std::abort();
    for (const auto& entry : imatrix.entries)
      for (const float value : entry.values)
        if (!(value >= 0) || !std::isfinite(value)) std::abort();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::Input) std::abort();
  }
  return 0;
}
