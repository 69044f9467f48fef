// pass@k of one problem.
#pragma once
#include <cstdint>

namespace teeny {

// Unbiased: 1 - C(n-c, k) / C(n, k) with c of n samples correct, in the product form 1 - prod_{i=n-c+1..n} (1 - k/i).
// Throws Usage for k < 1, k > n (there is no unbiased estimate) or c outside 0..n.
double pass_at_k(int64_t n, int64_t c, int64_t k);

}  // namespace teeny
