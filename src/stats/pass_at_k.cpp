#include "teeny/stats/pass_at_k.h"

#include "teeny/core/error.h"

namespace teeny {

double pass_at_k(int64_t n, int64_t c, int64_t k) {
  if (k < 1 || k > n)
    throw usage_error("stats", "pass@k", "k = {} with {} samples per task has no unbiased estimate; use 1 <= k <= samples (--samples-per-task)", k, n);
  if (c < 0 || c > n) throw usage_error("stats", "pass@k", "{} of {} samples cannot be correct", c, n);
  if (n - c < k) return 1;
  long double miss = 1;
  for (int64_t i = n - c + 1; i <= n && miss > 0; ++i) miss *= static_cast<long double>(i - k) / static_cast<long double>(i);
  return double(1 - miss);
}

}  // namespace teeny
