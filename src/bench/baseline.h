// Against an earlier record: how much slower each case became, and whether that is more than was allowed.
#pragma once
#include "bench/bench.h"

namespace teeny {

// The record's `baseline` block: {path, cases: [{name, baseline, median, slower_percent}], check: {passed, message}}; check
// only with --fail-if-slower (percent). Input error when no measured case is in both.
Json compare_with_baseline(const BenchOptions& options, const Json& cases);

}  // namespace teeny
