// From times to the fields of a case in the record.
#pragma once
#include "bench/bench.h"

namespace teeny {

double variation_of(const std::vector<double>& values);    // standard deviation / mean; 0 for fewer than two

// A case as measured. decode_bytes 0: bandwidth does not apply.
Json measured_case(const std::string& name, const std::string& hardware, const CaseSpec& spec, const CaseTimes& times, uint64_t decode_bytes, const MachineRates& rates);

}  // namespace teeny
