#include "plan/knapsack.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <optional>
#include <random>

namespace teeny {
namespace {

void for_every_choice(const std::vector<KnapsackItem>& items, const std::function<void(const std::vector<size_t>&)>& visit) {
  std::vector<size_t> choice(items.size(), 0);
  for (;;) {
    visit(choice);
    size_t i = 0;
    while (i < items.size() && ++choice[i] == items[i].size()) choice[i++] = 0;
    if (i == items.size()) return;
  }
}

// Random items; `scale` makes byte counts that have no common divisor large enough to be rounded.
std::vector<KnapsackItem> random_items(std::mt19937& random, size_t n, uint64_t scale) {
  std::vector<KnapsackItem> items(n);
  for (auto& item : items) {
    const size_t options = 1 + random() % 4;
    for (size_t o = 0; o < options; ++o) item.push_back({(1 + random() % 50) * scale + (scale > 1 ? random() % scale : 0), double(random() % 1000) / 100});
  }
  return items;
}

TEST(Knapsack, LeastLossIsTheBestOfAllChoices) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    const auto items = random_items(random, 1 + random() % 6, 1);
    const uint64_t limit = random() % 200;
    std::optional<double> best;
    for_every_choice(items, [&](const auto& c) {
      if (bytes_of(items, c) <= limit && (!best || loss_of(items, c) < *best)) best = loss_of(items, c);
    });
    const auto found = least_loss(items, limit);
    ASSERT_EQ(found.empty(), !best.has_value()) << round;
    if (!best) continue;
    EXPECT_LE(bytes_of(items, found), limit);
    EXPECT_NEAR(loss_of(items, found), *best, 1e-9) << round;
  }
}

TEST(Knapsack, FewestBytesIsTheSmallestOfAllChoices) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    const auto items = random_items(random, 1 + random() % 6, 1);
    const double limit = double(random() % 4000) / 100;
    uint64_t best = std::numeric_limits<uint64_t>::max();
    for_every_choice(items, [&](const auto& c) {
      if (loss_of(items, c) <= limit + 1e-12) best = std::min(best, bytes_of(items, c));
    });
    const auto found = fewest_bytes(items, limit + 1e-12);
    ASSERT_EQ(found.empty(), best == std::numeric_limits<uint64_t>::max()) << round;
    if (found.empty()) continue;
    EXPECT_LE(loss_of(items, found), limit + 1e-9);
    EXPECT_EQ(bytes_of(items, found), best) << round;
  }
}

// Byte counts without a common divisor are rounded up: the limit holds all the same, and next to nothing is lost.
TEST(Knapsack, LargeUnevenSizesStayWithinTheLimit) {
  std::mt19937 random(3);
  double worst = 0;
  for (int round = 0; round < 50; ++round) {
    const auto items = random_items(random, 6, 1'000'003);
    uint64_t least = 0, most = 0;
    for (const auto& item : items) {
      least += std::min_element(item.begin(), item.end(), [](const auto& a, const auto& b) { return a.bytes < b.bytes; })->bytes;
      most += std::max_element(item.begin(), item.end(), [](const auto& a, const auto& b) { return a.bytes < b.bytes; })->bytes;
    }
    const uint64_t limit = least + (most - least) * (random() % 100) / 100;
    double best = std::numeric_limits<double>::infinity();
    for_every_choice(items, [&](const auto& c) {
      if (bytes_of(items, c) <= limit) best = std::min(best, loss_of(items, c));
    });
    const auto found = least_loss(items, limit);
    ASSERT_FALSE(found.empty());
    EXPECT_LE(bytes_of(items, found), limit);
    worst = std::max(worst, loss_of(items, found) - best);
  }
  EXPECT_LE(worst, 0.05);  // of losses up to 60
}

TEST(Knapsack, ManyItemsAreSolvedWithinTheLimit) {
  std::mt19937 random(4);
  const auto items = random_items(random, 400, 1'000'003);
  uint64_t least = 0;
  for (const auto& item : items) least += std::min_element(item.begin(), item.end(), [](const auto& a, const auto& b) { return a.bytes < b.bytes; })->bytes;
  EXPECT_TRUE(least_loss(items, least - 1).empty());
  const auto tight = least_loss(items, least), wide = least_loss(items, least + least / 4);
  EXPECT_EQ(bytes_of(items, tight), least);
  EXPECT_LE(bytes_of(items, wide), least + least / 4);
  EXPECT_LT(loss_of(items, wide), loss_of(items, tight));
}

}  // namespace
}  // namespace teeny
