#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "teeny/kernels/column_descent.h"
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
  ColumnBlock block{w.clone(), u, at::rand({N, G}) * 0.2 + 0.1, at::full({N, G}, 8.0f), Tensor(), at::randint(0, G, {B}, at::kLong), Tensor(), 15};
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

// Column by column, each weight takes the level that is best for tr(D H D^T) while all others stay.
TEST(ColumnDescent, IsThePlainLoop) {
  at::manual_seed(4);
  const int64_t N = 5, B = 24;
  const Tensor w = at::randn({N, B}), x = at::randn({200, B}).mm(at::randn({B, B}) * 0.3 + at::eye(B)), h = x.t().mm(x) / 200;
  for (const bool table : {false, true}) {
    const Tensor scale = at::rand({N, 2}) * 0.2 + 0.1, zero = table ? Tensor() : at::full({N, 2}, 3.0f), group = at::arange(B, at::kLong).div(12, "floor");
    const Tensor levels = table ? at::tensor({-9.f, -4.f, -1.f, 0.f, 2.f, 3.f, 5.f, 9.f}) : at::arange(8, at::kFloat);
    const auto value = [&](int64_t n, int64_t i, int64_t code) {
      const int64_t g = group[i].item<int64_t>();
      return scale[n][g].item<float>() * (levels[code].item<float>() - (table ? 0.f : 3.f));
    };
    Tensor codes = at::randint(0, 8, {N, B}, at::kByte);
    Tensor fixed = at::zeros({N, B}, at::kBool);
    fixed[1][4] = true;
    const Tensor start = codes.clone();
    Tensor values = at::empty({N, B});
    for (int64_t n = 0; n < N; ++n)
      for (int64_t i = 0; i < B; ++i) values[n][i] = value(n, i, start[n][i].item<int64_t>());
    DescentBlock block{(w - values).mm(h), h, scale, zero, Tensor(), group, table ? levels : Tensor(), fixed, 7};
    const Tensor change = column_descent(block, codes);
    Tensor now = values.clone();
    for (int64_t n = 0; n < N; ++n)
      for (int64_t i = 0; i < B; ++i) {
        if (n == 1 && i == 4) {
          EXPECT_EQ(codes[n][i].item<int64_t>(), start[n][i].item<int64_t>());
          continue;
        }
        double best = 1e30;
        int64_t chosen = -1;
        for (int64_t code = 0; code < 8; ++code) {
          now[n][i] = value(n, i, code);
          const Tensor d = (w[n] - now[n]).to(at::kDouble);
          const double error = d.dot(h.to(at::kDouble).mv(d)).item<double>();
          if (error < best) best = error, chosen = code;
        }
        EXPECT_EQ(codes[n][i].item<int64_t>(), chosen) << n << ' ' << i;
        now[n][i] = value(n, i, chosen);
      }
    EXPECT_TRUE(at::allclose(values + change, now, 1e-5, 1e-6));
    EXPECT_TRUE(at::allclose(block.residual, (w - now).mm(h), 1e-3, 1e-4));
  }
}

TEST(ColumnUpdate, PrunesTheLeastSalientOfEachRun) {
  at::manual_seed(6);
  const int64_t N = 7, B = 16;
  const Tensor w = at::randn({N, B}), u = at::eye(B) * (at::rand({B}) + 0.5);  // diagonal: nothing is spread
  ColumnBlock block{w.clone(), u, at::full({N, 1}, 0.01f), at::full({N, 1}, 128.0f), Tensor(), at::zeros({B}, at::kLong), Tensor(), 255, 0.5, 4};
  const auto result = column_update(block);
  const Tensor salience = (w / u.diagonal()).square().view({N, B / 4, 4}), second = std::get<0>(salience.kthvalue(2, 2, true));
  EXPECT_TRUE(result.pruned.view({N, B / 4, 4}).equal(salience <= second));
  EXPECT_TRUE((block.w.masked_select(result.pruned) == 0).all().item<bool>());
}

}  // namespace
}  // namespace teeny
