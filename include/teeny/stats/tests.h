// Comparing two models on the same items, and many comparisons at once.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace teeny {

// Exact two-sided McNemar: `gained` and `lost` are the two kinds of items on which the models differ. Under the null
// each such item falls either way with probability 1/2; p = min(1, 2 P(X <= min(gained, lost))), X ~ Binomial(n, 1/2).
double mcnemar_exact(int64_t gained, int64_t lost);

// Probability that mcnemar_exact <= alpha for n items, of which a share `discordance` differ between the models (each
// item by itself), when one model is truly worse by `difference` (a share of n, <= discordance).
double mcnemar_power(int64_t n, double difference, double discordance, double alpha = 0.05);

// The smallest true difference (a share of n) that the test finds with probability `power` or more. The discordance is
// the one given (observed), raised to the difference itself where that is larger, since a difference needs as many items
// that differ. Empty when even a difference of 1 would be missed (fewer than 6 items at alpha .05).
std::optional<double> detectable_difference(int64_t n, double discordance, double alpha = 0.05, double power = 0.8);

// Holm's step-down adjustment: adjusted p-values in the order given.
std::vector<double> holm(std::span<const double> p);

}  // namespace teeny
