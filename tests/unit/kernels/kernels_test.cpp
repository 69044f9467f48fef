#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "teeny/kernels/column_update.h"
#include "teeny/kernels/fixed_order.h"

namespace teeny {
namespace {

Tensor random_spd(int64_t K) {
  at::manual_seed(5);
  const Tensor x = at::randn({2 * K, K});
  return x.t().mm(x) / double(2 * K) + at::eye(K) * 0.01;
}

TEST(FixedOrder, CholeskyAndInverseFactor) {
  for (const int64_t K : {5, 256, 300, 700}) {
    const Tensor h = random_spd(K), l = fixed_cholesky(h);
    EXPECT_TRUE(at::allclose(l.mm(l.t()), h, 1e-4, 1e-5)) << K;
    const Tensor u = inverse_cholesky_upper(h);
    EXPECT_EQ(u.tril(-1).abs().max().item<float>(), 0);
    EXPECT_TRUE(at::allclose(u.t().mm(u).mm(h), at::eye(K), 1e-3, 2e-3)) << K;
  }
  // In place, from the full matrix, and back again after a failure.
  const Tensor once = random_spd(700), h = (once + once.t()) / 2;  // symmetric in every bit
  Tensor a = h.clone();
  const Tensor tiles = diagonal_tiles(a);
  a[650][650] = -1;
  EXPECT_FALSE(cholesky_in_place(a));
  restore_lower(a, tiles);
  EXPECT_TRUE(a.equal(h));
  EXPECT_TRUE(cholesky_in_place(a));
  EXPECT_TRUE(a.tril().equal(fixed_cholesky(h)));
  EXPECT_FALSE(fixed_cholesky(-at::eye(300)).defined());
}

TEST(FixedOrder, ThreadsDoNotChangeABit) {
  at::manual_seed(1);
  const Tensor x = at::randn({777, 600}), b = at::randn({600, 130});
  std::vector<Tensor> grams, factors, products;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    Tensor gram = at::zeros({600, 600});
    add_gram(gram, x);
    mirror_lower(gram);
    grams.push_back(gram);
    factors.push_back(inverse_cholesky_upper(gram + at::eye(600)));
    products.push_back(fixed_matmul(x, b));
  }
  for (size_t i = 1; i < grams.size(); ++i) {
    EXPECT_TRUE(grams[0].equal(grams[i]));
    EXPECT_TRUE(factors[0].equal(factors[i]));
    EXPECT_TRUE(products[0].equal(products[i]));
  }
  EXPECT_TRUE(at::allclose(grams[0], x.t().mm(x), 1e-4, 1e-3));
}

// The same loop in plain double arithmetic, straight from the paper.
TEST(ColumnUpdate, AgreesWithAPlainLoop) {
  at::manual_seed(2);
  const int64_t N = 13, B = 37, G = 3;
  const Tensor w = at::randn({N, B}), u = inverse_cholesky_upper(random_spd(B));
  ColumnBlock block{w.clone(), u, at::rand({N, G}) * 0.2 + 0.1, at::full({N, G}, 8.0f), Tensor(), at::randint(0, G, {B}, at::kLong), 15};
  const auto result = column_update(block);
  for (int64_t n = 0; n < N; ++n) {
    std::vector<double> row(B);
    for (int64_t j = 0; j < B; ++j) row[j] = w[n][j].item<double>();
    for (int64_t i = 0; i < B; ++i) {
      const double s = block.scale[n][block.column_group[i]].item<double>();
      const double q = std::clamp(std::nearbyint(row[i] / s) + 8, 0.0, 15.0), value = s * (q - 8);
      ASSERT_NEAR(result.codes[n][i].item<int>(), q, 1) << n << " " << i;
      if (result.codes[n][i].item<int>() != int(q)) break;  // a tie that f32 and f64 see differently: later columns differ
      const double e = (row[i] - value) / u[i][i].item<double>();
      EXPECT_NEAR(result.error[n][i].item<double>(), e, 1e-3 * (1 + std::abs(e)));
      for (int64_t j = i + 1; j < B; ++j) row[j] -= e * u[i][j].item<double>();
    }
  }
}

}  // namespace
}  // namespace teeny
