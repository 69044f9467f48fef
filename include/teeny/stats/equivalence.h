// Is the difference of two models small? Two one-sided tests (TOST): both "at least `margin` worse" and "at least `margin`
// better" are to be rejected. Not finding a difference is no evidence of this.
#pragma once
#include <cstdint>

#include "teeny/stats/intervals.h"

namespace teeny {

// Score test of paired outcomes (Tango 1998): z of the hypothesis that the share of successes of the first model exceeds
// the second's by `delta`, with `gained` and `lost` the items that only the first and only the second has right.
// The variance is that of the most likely outcome probabilities under the hypothesis. |delta| < 1.
double tango_z(int64_t n, int64_t gained, int64_t lost, double delta);

// The differences that the test does not reject: unlike a bootstrap's, this interval has a width when no item differs.
Interval tango_interval(int64_t n, int64_t gained, int64_t lost, double z = 1.959963984540054);

// p of the hypothesis that the two differ by `margin` or more in either direction: the larger of both one-sided p values.
double tost_paired(int64_t n, int64_t gained, int64_t lost, double margin);

}  // namespace teeny
