// A GPU writes the blocks that the CPU writes, byte for byte, whatever the weights. Skipped without a GPU.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "encodings/ggml/cuda.h"
#include "teeny/core/error.h"
#include "teeny/encodings/device_rows.h"
#include "teeny/encodings/encoding.h"
#include "teeny/kernels/cuda.h"

namespace teeny {
namespace {

constexpr int64_t kK = 1280;  // 5 super-blocks, 40 small blocks: no multiple of a warp

// Rows of every kind that a search could stumble over.
Tensor awkward() {
  at::manual_seed(11);
  std::vector<Tensor> rows;
  const auto add = [&](const Tensor& row) { rows.push_back(row.to(at::kFloat).reshape({1, kK})); };
  const Tensor normal = at::randn({kK});
  add(at::zeros({kK}));
  add(-at::zeros({kK}));
  for (const double value : {1.0, -1.0, 0.3, 65504.0, -7e4, 1e30, 3e38, -3e38, 1e-7, 1e-20, 1e-38, 1e-42, -1e-45}) add(at::full({kK}, value));
  for (const double scale : {1.0, 0.02, 1e-4, 1e-8, 1e-16, 1e-30, 1e-38, 1e3, 1e6, 1e18, 1e37}) add(normal * scale);
  add(normal.abs());
  add(-normal.abs());
  add(normal.sign());
  add(at::where(at::arange(kK) % 2 == 0, at::full({kK}, 0.5), at::full({kK}, -0.5)));
  add(at::where(at::rand({kK}) < 0.9, at::zeros({kK}), normal));
  Tensor outlier = normal * 0.01;
  outlier[700] = 1e4;
  add(outlier);
  add(at::where(at::arange(kK) % 256 < 16, at::zeros({kK}), normal));           // one sub-block of zeros
  add(at::where(at::arange(kK) % 256 == 5, at::full({kK}, -1e-15), at::zeros({kK})));
  add(at::arange(kK) / 100.0 - 6);
  add((at::randint(-7, 8, {kK})).to(at::kFloat) * 0.125);                       // exact levels: ties
  add(at::exp(normal * 6) * normal.sign());
  Tensor w = at::cat(rows);
  return at::cat({w, at::randn({37, kK}) * at::exp(at::randn({37, 1}) * 3)}).contiguous();
}

std::vector<std::pair<std::string, Tensor>> importances() {
  at::manual_seed(12);
  const Tensor some = at::rand({kK});
  return {{"none", Tensor()},
          {"random", (some * 3).contiguous()},
          {"half zero", at::where(some < 0.5, at::zeros({kK}), some).contiguous()},
          {"all zero", at::zeros({kK})},
          {"huge", (at::exp(at::randn({kK}) * 10)).contiguous()},
          {"tiny", (some * 1e-30).contiguous()}};
}

class CudaRows : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "no GPU: the kernels are not run";
  }
};

TEST(KernelsInTheBuild, AreThereWithNvcc) {  // no GPU needed: a build must not take the stand-ins and the kernels both
  for (const DType type : {DType::Q8_0, DType::Q4_K, DType::Q2_K, DType::IQ4_XS}) EXPECT_EQ(ggml::cuda_kernels_of(type) != nullptr, cuda::built());
}

TEST_F(CudaRows, EveryTypeGivesTheBytesOfTheCpu) {
  const Tensor values = awkward();
  const auto lane = DeviceRows::make(0, values.numel());
  int checked = 0;
  for (const DType from : {DType::F32, DType::F16, DType::BF16}) {
    const auto type = from == DType::F32 ? at::kFloat : from == DType::F16 ? at::kHalf : at::kBFloat16;
    // fp16 makes the huge ones infinite, which is no weight.
    const Tensor stored = values.to(type).nan_to_num(0, 0, 0).contiguous(), w = stored.to(at::kFloat).contiguous();
    for (const auto& spec : conformance_specs()) {
      EncodingSpec plain;
      plain.dtype = from;
      if (spec.kind != EncodingKind::Ggml) continue;
      ASSERT_TRUE(DeviceRows::supports(plain, spec)) << spec.name();
      const auto rows = make_row_codec(spec);
      for (const auto& [name, importance] : importances()) {
        const float* weights = importance.defined() ? importance.const_data_ptr<float>() : nullptr;
        std::vector<std::byte> expected(rows->row_bytes(kK) * size_t(w.size(0)));
        rows->encode(w.const_data_ptr<float>(), weights, w.size(0), kK, expected.data());
        std::memcpy(lane->input(), stored.const_data_ptr(), stored.nbytes());
        const auto result = lane->encode(from, spec.dtype, weights, w.size(0), kK);
        EXPECT_EQ(result.first_bad, -1);
        const std::byte* got = lane->output();
        const auto differs = std::mismatch(expected.begin(), expected.end(), got);
        EXPECT_TRUE(differs.first == expected.end())
            << spec.name() << " from " << name_of(from) << ", importance " << name << ": first difference in row "
            << (differs.first - expected.begin()) / int64_t(rows->row_bytes(kK)) << " at byte " << (differs.first - expected.begin()) % int64_t(rows->row_bytes(kK));
        // The error is that of the bytes, to rounding of the sums.
        std::vector<float> decoded(size_t(w.numel()));
        rows->decode(expected.data(), w.size(0), kK, decoded.data());
        const auto sums = square_sums(w.const_data_ptr<float>(), decoded.data(), w.numel());
        const auto close = [](double a, double b) { return !std::isfinite(b) || std::abs(a - b) <= 1e-9 * b; };
        EXPECT_TRUE(close(result.sums.difference, sums.difference) && close(result.sums.original, sums.original)) << spec.name();
        ++checked;
      }
    }
  }
  EXPECT_EQ(checked, 12 * 3 * 6);
}

TEST_F(CudaRows, NamesTheFirstWeightThatIsNoNumber) {
  EncodingSpec spec;
  spec.kind = EncodingKind::Ggml, spec.dtype = DType::Q4_K;
  Tensor w = at::randn({64, kK});
  const auto lane = DeviceRows::make(0, w.numel());
  w[40][3] = std::numeric_limits<float>::quiet_NaN();
  w[9][1000] = -std::numeric_limits<float>::infinity();
  std::memcpy(lane->input(), w.const_data_ptr(), w.nbytes());
  EXPECT_EQ(lane->encode(DType::F32, DType::Q4_K, nullptr, 64, kK).first_bad, 9 * kK + 1000);
  const auto rows = make_row_codec(spec);
  std::vector<std::byte> expected(rows->row_bytes(kK) * 64);
  const Tensor repaired = w.nan_to_num(0, 0, 0).contiguous();
  rows->encode(repaired.const_data_ptr<float>(), nullptr, 64, kK, expected.data());
  EXPECT_EQ(std::memcmp(lane->output(), expected.data(), expected.size()), 0);
}

TEST(CudaRowsWithout, AGpuThereIsADeviceError) {
  if (cuda::device_count() > 0) GTEST_SKIP() << "this machine has a GPU";
  try {
    DeviceRows::make(0, 1024);
    FAIL() << "a lane needs a GPU";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Device);
  }
}

}  // namespace
}  // namespace teeny
