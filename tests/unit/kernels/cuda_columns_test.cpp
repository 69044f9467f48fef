// The column kernels of a GPU against the CPU's, bit for bit, over shapes that are multiples of nothing.
#include <gtest/gtest.h>

#include <cstring>

#include "kernels/cuda/columns.h"
#include "teeny/kernels/column_descent.h"
#include "teeny/kernels/column_update.h"

namespace teeny {
namespace {

class CudaColumns : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "no GPU: the kernels are not run";
  }
};

// A copy of a tensor on the GPU.
class Copy {
 public:
  explicit Copy(const Tensor& t) : host_(t.defined() ? t.contiguous() : t) {
    if (!t.defined()) return;
    buffer_ = cuda::Buffer(host_.nbytes());
    buffer_.upload(host_.const_data_ptr(), host_.nbytes());
  }
  template <class T>
  T* data() const { return host_.defined() ? buffer_.data<T>() : nullptr; }
  Tensor back() const {
    Tensor out = at::empty_like(host_);
    buffer_.download(out.mutable_data_ptr(), out.nbytes());
    return out;
  }

 private:
  Tensor host_;
  cuda::Buffer buffer_;
};

bool same_bits(const Tensor& a, const Tensor& b) {
  const Tensor x = a.contiguous(), y = b.contiguous();
  return x.sizes() == y.sizes() && x.scalar_type() == y.scalar_type() && std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

struct Case {
  int64_t N, B, G;
  int hi;
  bool zero, min, table;
};

const std::vector<Case> kCases = {{1, 1, 1, 15, true, false, false},    {37, 128, 1, 15, true, false, false}, {5, 127, 3, 3, true, false, false}, {300, 32, 2, 7, true, false, false},
                                  {17, 33, 5, 255, false, false, false}, {64, 128, 8, 15, false, true, false}, {129, 96, 4, 15, false, false, true}};

struct Numbers {
  Tensor w, u, h, scale, zero, min, group, table;
  explicit Numbers(const Case& c) {
    at::manual_seed(c.N * 1000 + c.B);
    w = at::randn({c.N, c.B});
    w[0].zero_();
    const Tensor x = at::randn({2 * c.B + 4, c.B});
    h = x.t().mm(x) / double(c.B) + at::eye(c.B) * 0.1;
    u = at::linalg_cholesky(h).t().contiguous();
    scale = at::rand({c.N, c.G}) * (4.0 / c.hi) + 0.01;
    scale[c.N - 1].zero_();
    if (c.zero) zero = at::randint(0, c.hi + 1, {c.N, c.G}).to(at::kFloat);
    if (c.min) min = at::rand({c.N, c.G});
    if (c.table) table = std::get<0>(at::randn({c.hi + 1}).sort());
    group = at::randint(0, c.G, {c.B}, at::kLong);
  }
};

TEST_F(CudaColumns, UpdateGivesTheBitsOfTheCpu) {
  for (const auto& c : kCases) {
    const Numbers n(c);
    ColumnBlock block{n.w.clone(), n.u, n.scale, n.zero, n.min, n.group, n.table, c.hi};
    const Copy w(n.w), u(n.u), scale(n.scale), zero(n.zero), min(n.min), table(n.table), group(n.group);
    const ColumnResult expected = column_update(block);
    const Copy codes(at::full({c.N, c.B}, 99, at::kByte)), error(at::full({c.N, c.B}, 1e9f)), loss(at::full({c.N}, 1e9f));  // poisoned
    cuda::column_update({w.data<float>(), u.data<float>(),
                         {scale.data<float>(), zero.data<float>(), min.data<float>(), table.data<float>(), group.data<int64_t>(), c.G, c.hi},
                         codes.data<uint8_t>(), error.data<float>(), loss.data<float>(), c.N, c.B},
                        nullptr);
    cuda::synchronize();
    EXPECT_TRUE(same_bits(codes.back(), expected.codes)) << c.N << "x" << c.B;
    EXPECT_TRUE(same_bits(w.back(), block.w)) << c.N << "x" << c.B;
    EXPECT_TRUE(same_bits(error.back(), expected.error)) << c.N << "x" << c.B;
    EXPECT_TRUE(same_bits(loss.back(), expected.loss)) << c.N << "x" << c.B;
  }
}

TEST_F(CudaColumns, DescentGivesTheBitsOfTheCpu) {
  for (const auto& c : kCases)
    for (const bool some_fixed : {false, true}) {
      const Numbers n(c);
      const Tensor residual = at::randn({c.N, c.B}), start = at::randint(0, c.hi + 1, {c.N, c.B}).to(at::kByte);
      const Tensor fixed = some_fixed ? at::rand({c.N, c.B}) < 0.3 : Tensor();
      const Copy r(residual), h(n.h), scale(n.scale), zero(n.zero), min(n.min), table(n.table), group(n.group), hold(fixed), codes(start), change(at::full({c.N, c.B}, 1e9f));
      DescentBlock block{residual.clone(), n.h.contiguous(), n.scale, n.zero, n.min, n.group, n.table, fixed, c.hi};
      Tensor expected = start.clone();
      const Tensor moved = column_descent(block, expected);
      EXPECT_GT((moved != 0).sum().item<int64_t>(), c.N > 1 ? 0 : -1);
      cuda::column_descent({r.data<float>(), h.data<float>(),
                            {scale.data<float>(), zero.data<float>(), min.data<float>(), table.data<float>(), group.data<int64_t>(), c.G, c.hi},
                            hold.data<bool>(), codes.data<uint8_t>(), change.data<float>(), c.N, c.B},
                           nullptr);
      cuda::synchronize();
      EXPECT_TRUE(same_bits(codes.back(), expected)) << c.N << "x" << c.B;
      EXPECT_TRUE(same_bits(change.back(), moved)) << c.N << "x" << c.B;
      EXPECT_TRUE(same_bits(r.back(), block.residual)) << c.N << "x" << c.B;
    }
}

TEST_F(CudaColumns, MirrorsAndAddsColumns) {
  for (const int64_t n : {1, 31, 32, 33, 200}) {
    const Tensor a = at::randn({n, n});
    const Copy copy(a);
    cuda::mirror_lower(copy.data<float>(), n, nullptr);
    EXPECT_TRUE(same_bits(copy.back(), a.tril() + a.tril(-1).t())) << n;
  }
  const Tensor x = at::randn({70, 45}), half = x.to(at::kBFloat16);
  for (const bool bf16 : {false, true}) {
    const Copy input(bf16 ? half : x), out(at::full({3, 4, 45}, 1e9f));
    cuda::column_sums(input.data<void>(), bf16, 70, 45, 30, out.data<float>(), nullptr);
    const Tensor got = out.back(), value = (bf16 ? half : x).to(at::kDouble);
    for (int64_t s = 0; s < 3; ++s) {
      const Tensor slice = value.slice(0, s * 30, std::min<int64_t>(70, s * 30 + 30));
      EXPECT_TRUE(at::allclose(got[s][0].to(at::kDouble), slice.square().sum(0), 1e-5, 1e-5));
      EXPECT_TRUE(at::allclose(got[s][1].to(at::kDouble), slice.abs().sum(0), 1e-5, 1e-5));
      EXPECT_TRUE(at::allclose(got[s][2].to(at::kDouble), slice.sum(0), 1e-4, 1e-4));
      EXPECT_TRUE(got[s][3].to(at::kDouble).equal(slice.abs().amax({0})));
    }
  }
}

}  // namespace
}  // namespace teeny
