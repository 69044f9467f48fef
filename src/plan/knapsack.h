// The multiple-choice knapsack of mixed precision: one option an item, least loss within a number of bytes or fewest bytes
// within a loss.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace teeny {

struct KnapsackOption {
  uint64_t bytes = 0;
  double loss = 0;
};
using KnapsackItem = std::vector<KnapsackOption>;

// The option of each item, or nothing when even the smallest (or the best) do not fit. By dynamic programming over the bytes
// above the smallest choice, in units of their greatest common divisor or of 1/65536 of the range, whichever is more (costs
// rounded up, so that the limit always holds), then exchanges that use what rounding left. Exact where the unit divides all.
std::vector<size_t> least_loss(const std::vector<KnapsackItem>& items, uint64_t most_bytes);
std::vector<size_t> fewest_bytes(const std::vector<KnapsackItem>& items, double most_loss);

uint64_t bytes_of(const std::vector<KnapsackItem>& items, const std::vector<size_t>& choice);
double loss_of(const std::vector<KnapsackItem>& items, const std::vector<size_t>& choice);

}  // namespace teeny
