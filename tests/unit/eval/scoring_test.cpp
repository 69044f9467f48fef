#include "eval/scoring.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace teeny {
namespace {

Tensor rows(std::vector<std::vector<float>> values) {
  Tensor out = at::empty({int64_t(values.size()), int64_t(values[0].size())}, at::kFloat);
  for (size_t t = 0; t < values.size(); ++t)
    for (size_t v = 0; v < values[t].size(); ++v) out[int64_t(t)][int64_t(v)] = values[t][v];
  return out;
}

const float kLn3 = std::log(3.0f);

TEST(ScoreWindow, IsTheLogProbabilityOfTheNextToken) {
  // p = (1/4, 3/4), (1/2, 1/2); the last row predicts nothing that is known.
  const auto logits = rows({{0, kLn3}, {5, 5}, {100, -100}});
  const auto all = score_window(logits, {0, 1, 0}, 0);
  EXPECT_EQ(all.scored, 2);
  EXPECT_NEAR(all.nll, -std::log(0.75) - std::log(0.5), 1e-6);
  const auto second = score_window(logits, {0, 1, 0}, 1);
  EXPECT_EQ(second.scored, 1);
  EXPECT_NEAR(second.nll, -std::log(0.5), 1e-6);
}

TEST(ScoreWindow, MoreRowsThanOneBlockAreAllCounted) {
  const int64_t T = 200;
  const auto score = score_window(at::zeros({T, 7}, at::kFloat), std::vector<int32_t>(size_t(T), 3), 0);
  EXPECT_EQ(score.scored, T - 1);
  EXPECT_NEAR(score.mean(), std::log(7.0), 1e-6);
  EXPECT_TRUE(score.finite);
}

TEST(ScoreWindow, NaNIsSeen) {
  auto logits = at::zeros({3, 4}, at::kFloat);
  logits[1][2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(score_window(logits, {0, 1, 2}, 0).finite);
}

TEST(CompareWindow, IsTheDivergenceByHand) {
  // reference (1/4, 3/4), variant (1/2, 1/2)
  const auto d = compare_window(rows({{0, kLn3}, {0, 0}}), rows({{1, 1}, {0, 0}}), 0);
  ASSERT_EQ(d.kl.size(), 1u);
  EXPECT_NEAR(d.kl[0], 0.25 * std::log(0.5) + 0.75 * std::log(1.5), 1e-7);
  EXPECT_EQ(d.same_top, 0);  // token 1 against token 0 (the first of equals)
}

TEST(CompareWindow, IsNotSymmetric) {
  const auto a = rows({{0, kLn3}, {0, 0}}), b = rows({{1, 1}, {0, 0}});
  EXPECT_NEAR(compare_window(b, a, 0).kl[0], 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3.0), 1e-7);
}

TEST(CompareWindow, EqualModelsDivergeByZero) {
  const auto logits = at::randn({100, 50}, at::kFloat);
  const auto d = compare_window(logits, logits, 0);
  EXPECT_EQ(d.kl.size(), 99u);
  EXPECT_EQ(d.mean(), 0);
  EXPECT_EQ(d.same_top, 99);
}

TEST(CompareWindow, AbsentTokensAndPaddingCount) {
  const float inf = std::numeric_limits<float>::infinity();
  // Token 1 is impossible in the reference: only token 0 contributes, log(1 / (1/2)).
  const auto d = compare_window(rows({{0, -inf}, {0, 0}}), rows({{0, 0}, {0, 0}}), 0);
  EXPECT_NEAR(d.kl[0], std::log(2.0), 1e-12);
  EXPECT_TRUE(d.finite);
  // Possible in the reference, impossible in the variant: infinite, and said.
  EXPECT_FALSE(compare_window(rows({{0, 0}, {0, 0}}), rows({{0, -inf}, {0, 0}}), 0).finite);
  // A padded vocabulary: the common part is compared.
  EXPECT_NEAR(compare_window(rows({{0, kLn3}, {0, 0}}), rows({{0, kLn3, 9}, {0, 0, 9}}), 0).kl[0], 0, 1e-12);
}

TEST(CompareWindow, SmallDivergencesSurviveRounding) {
  // An 8-bit variant is about 1e-5 away; fp32 sums over a large vocabulary lose that.
  const int64_t V = 50000;
  auto reference = at::zeros({2, V}, at::kFloat), variant = reference.clone();
  variant.narrow(1, 0, V / 2) += 0.01f;
  const double delta = double(0.01f), expected = std::log(0.5 * (std::exp(delta) + 1)) - 0.5 * delta;
  EXPECT_NEAR(compare_window(reference, variant, 0).kl[0], expected, expected * 1e-6);
}

}  // namespace
}  // namespace teeny
