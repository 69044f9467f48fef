// Methods and encodings on a GPU against the CPU. Skipped without a GPU.
#include <gtest/gtest.h>

#include <cstring>

#include "encodings/common/affine.h"
#include "teeny/family/tokenizer_source.h"
#include "teeny/kernels/cuda.h"
#include "teeny/kernels/fixed_order.h"
#include "teeny/methods/awq.h"
#include "teeny/methods/gptq.h"
#include "teeny/runtime/device.h"
#include "teeny/text/dataset.h"

namespace teeny {
namespace {

bool same_bits(const Tensor& a, const Tensor& b) {
  const Tensor x = a.contiguous().cpu(), y = b.contiguous().cpu();
  return x.sizes() == y.sizes() && x.scalar_type() == y.scalar_type() && std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

class CudaMethods : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "no GPU";
    Context context;
    context.device = "cuda:0";
    device_ = open_device(context);
    at::manual_seed(5);
  }
  at::Device device_ = at::kCPU;
};

Tensor mixed_weights(int64_t N, int64_t K) {
  Tensor w = at::randn({N, K}) * at::exp(at::randn({N, 1}) * 2) * 0.02;
  w[0].zero_();
  w[1] = w[1].abs();
  w[2] = -w[2].abs();
  w[3][7] = 30;
  w[4].mul_(1e-7);
  return w.contiguous();
}

// rtn, int8 and every block type: what the file gets.
TEST_F(CudaMethods, RoundingGivesTheBytesOfTheCpu) {
  const Tensor w = mixed_weights(64, 512);
  int checked = 0;
  for (const auto& spec : conformance_specs()) {
    if (spec.kind == EncodingKind::BnbNf4 || spec.kind == EncodingKind::BnbFp4) continue;  // read, not written
    const auto encoding = make_encoding(spec);
    const auto here = encoding->quantize(w, {});
    const auto there = encoding->quantize(w.to(device_), {});
    EXPECT_TRUE(there.levels.q.is_cuda()) << spec.name();
    const QuantTensor expected = encoding->pack(here.levels, here.grid), got = encoding->pack(there.levels, there.grid);
    for (size_t i = 0; i < expected.parts.size(); ++i) EXPECT_TRUE(same_bits(got.parts[i].second, expected.parts[i].second)) << spec.name() << " " << expected.parts[i].first;
    EXPECT_TRUE(same_bits(encoding->decode(got), encoding->decode(expected))) << spec.name();
    // (LLM.int8 multiplies in bitsandbytes' order, which is not the grid's.)
    const bool grid_decodes = spec.kind != EncodingKind::BnbInt8;
    EXPECT_TRUE(!grid_decodes || same_bits(decode(there.levels, there.grid), encoding->decode(got))) << spec.name();
    ++checked;
  }
  EXPECT_GT(checked, 40);
}

TEST_F(CudaMethods, BitStreamsGoThereAndBack) {
  for (int bits = 1; bits <= 8; ++bits)
    for (const int64_t columns : {int64_t(1), int64_t(31), int64_t(32), int64_t(77)}) {
      const Tensor codes = at::randint(0, 1 << bits, {64, columns}).to(at::kByte), there = codes.to(device_);
      EXPECT_TRUE(same_bits(pack_bits(there, bits), pack_bits(codes, bits))) << bits;
      EXPECT_TRUE(same_bits(pack_rows(there, bits), pack_rows(codes, bits))) << bits << " " << columns;
      EXPECT_TRUE(same_bits(unpack_bits(pack_bits(there, bits), bits, 64), codes)) << bits;
      EXPECT_TRUE(same_bits(unpack_rows(pack_rows(there, bits), bits, columns), codes)) << bits << " " << columns;
    }
}

TEST_F(CudaMethods, RangesAreAsGoodAsTheCpus) {
  const Tensor w = mixed_weights(40, 256), importance = at::rand({256}) + 0.01;
  for (const bool symmetric : {true, false})
    for (const int bits : {2, 3, 4, 8})
      for (const int64_t group : {int64_t(32), int64_t(128), int64_t(256)}) {
        const AffineShape shape{bits, group, symmetric, symmetric ? 0 : 1, false, at::kHalf};
        const Grid a = fit_affine(w, shape, {importance, false, true}), b = fit_affine(w.to(device_), shape, {importance, false, true});
        const auto error = [&](const Tensor& q) { return ((q - w).square() * importance).sum(at::kDouble).item<double>(); };
        const double here = error(decode(nearest(w, a), a)), there = error(decode(nearest(w.to(device_), b), b).cpu());
        EXPECT_NEAR(there, here, 1e-4 * here) << bits << symmetric << group;
        EXPECT_GT((a.scale == b.scale.cpu()).to(at::kFloat).mean().item<float>(), 0.97f);  // the rest are ties
      }
}

// x^T x, factor, product: to the rounding of f32.
TEST_F(CudaMethods, LinearAlgebraAgrees) {
  const Tensor x = at::randn({3000, 1500});
  Tensor here = at::zeros({1500, 1500}), there = at::zeros({1500, 1500}, at::TensorOptions(device_));
  add_gram(here, x), add_gram(there, x.to(device_));
  mirror_lower(here), mirror_lower(there);
  EXPECT_TRUE(at::allclose(here, there.cpu(), 1e-4, 1e-2));
  EXPECT_TRUE(same_bits(there, there.t()));
  here.diagonal().add_(30), there.diagonal().add_(30);
  const Tensor u = inverse_cholesky_upper(there), product = u.t().mm(u).mm(there);
  EXPECT_LT((product.cpu() - at::eye(1500)).abs().max().item<float>(), 2e-2f);
  EXPECT_TRUE(at::allclose(u.cpu(), inverse_cholesky_upper(here), 1e-2, 1e-4));
  EXPECT_EQ(u.tril(-1).abs().max().item<float>(), 0.f);
  there.diagonal().fill_(-1);
  EXPECT_FALSE(inverse_cholesky_upper(there).defined());  // not positive definite
  const Tensor half = x.to(device_).to(at::kBFloat16);
  Tensor gram = at::zeros({1500, 1500}, at::TensorOptions(device_)), exact = at::zeros({1500, 1500});
  add_gram(gram, half), add_gram(exact, half.cpu().to(at::kFloat));
  EXPECT_TRUE(at::allclose(gram.cpu().tril(), exact.tril(), 1e-4, 1e-2));
  const Tensor d = at::randn({50, 1500});
  EXPECT_NEAR(energy(d.to(device_), gram) / energy(d, gram.cpu()), 1.0, 2e-3);
}

InputStats stats_of(const Tensor& x) {
  InputStats s;
  s.gram = at::zeros({x.size(1), x.size(1)}, x.options());
  add_gram(s.gram, x);
  mirror_lower(s.gram);
  s.square = x.square().sum(0);
  s.tokens = x.size(0);
  return s;
}

TEST_F(CudaMethods, GptqIsAsGoodAsTheCpusAndTheSameTwice) {
  const Tensor mixing = at::randn({512, 512}) * 0.1 + at::eye(512), x = at::randn({2000, 512}).mm(mixing) * at::exp(at::randn({512})), w = at::randn({96, 512});
  for (const auto& spec : conformance_specs()) {
    const bool affine = spec.kind == EncodingKind::Gptq && !spec.tensor_scale, block = spec.kind == EncodingKind::Ggml && traits(spec.dtype).block == 256;
    if (!affine && !block) continue;
    GptqOptions options;
    if (block) options.together = 256;
    const auto encoding = make_encoding(spec);
    const auto run = [&](at::Device device) {
      InputStats stats = stats_of(x.to(device));
      const GptqFactor factor = gptq_factor(stats, options);
      const auto result = gptq_quantize(w.to(device), factor, *encoding, options);
      const QuantTensor packed = encoding->pack(result.quantized.levels, result.quantized.grid);
      return std::pair(packed, output_error(w.to(device), encoding->decode(packed), factor.h));
    };
    const auto [here, expected] = run(at::kCPU);
    const auto [there, error] = run(device_);
    const auto [again, same] = run(device_);
    EXPECT_NEAR(error, expected, 0.02 * expected) << spec.name();
    for (size_t i = 0; i < there.parts.size(); ++i) EXPECT_TRUE(same_bits(there.parts[i].second, again.parts[i].second)) << spec.name();
  }
}

TEST_F(CudaMethods, PrunesOnAGpuToo) {
  const Tensor x = at::randn({800, 256}), w = at::randn({32, 256});
  EncodingSpec spec{EncodingKind::Gptq, DType::F32, 4, 128, true, 1};
  GptqOptions options;
  options.prune = 0.5, options.prune_of = 4;
  InputStats stats = stats_of(x.to(device_));
  const auto result = gptq_quantize(w.to(device_), gptq_factor(stats, options), *make_encoding(spec), options);
  EXPECT_NEAR((decode(result.quantized.levels, result.quantized.grid) == 0).to(at::kFloat).mean().item<float>(), 0.5, 0.08);
}

InputStats moved(const InputStats& s, at::Device device) {
  InputStats out = s;
  for (Tensor* t : {&out.gram, &out.square, &out.absolute, &out.sum, &out.largest, &out.half_square}) *t = t->to(device);
  return out;
}

// On the same inputs; along a whole model codes that differ by a tie change what the later blocks see.
TEST_F(CudaMethods, AwqChoosesTheCpusScales) {
  const auto source = open_source(TEENY_TEST_SOURCE_DIR "/configs/models/teeny-demo-7m");
  const ModelSpec spec = read_spec(*source);
  const WeightLoader loader(*source, spec);
  Context context;
  const auto ids = load_tokenizer(*source)->encode(read_text(TEENY_TEST_SOURCE_DIR "/configs/models/teeny-demo-7m/calibration.txt"));
  const Tensor table = read_tensor(*source, source->at("model.embed_tokens.weight")).to(at::kFloat);
  HiddenStates hidden;
  for (int64_t i = 0; i < 8; ++i) hidden.push_back(table.index_select(0, at::tensor(std::vector<int32_t>(ids.begin() + i * 256, ids.begin() + i * 256 + 256), at::kInt)).unsqueeze(0));
  const Rope rope = make_rope(spec, 256, at::kCPU);
  const EncodingSpec four{EncodingKind::Awq, DType::F32, 4, 128, true, 0, false};
  BlockEncodings encodings;
  for (auto& encoding : encodings) encoding = make_encoding(four);
  int same = 0, all = 0;
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    const Block original = load_block(loader, spec, layer, at::TensorOptions().dtype(at::kFloat));
    auto stats = collect(spec, original, hidden, rope, {0, 1, 2, 3}, true, context);
    Block here = original, there = original;
    std::array<InputStats, 4> copies;
    for (size_t i = 0; i < 4; ++i) copies[i] = moved(stats[i], device_);
    for (Tensor* t : {&there.attn_norm, &there.mlp_norm}) *t = t->to(device_);
    for (auto& linear : there.linears) {
      linear.weight = linear.weight.to(device_);
      if (linear.bias.defined()) linear.bias = linear.bias.to(device_);
    }
    const auto expected = awq_transform(spec, here, stats, encodings, {}), got = awq_transform(spec, there, copies, encodings, {});
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i, ++all) same += got[i].ratio == expected[i].ratio && got[i].weight_ratio == expected[i].weight_ratio;
    advance(spec, original, hidden, rope, context);
  }
  EXPECT_GE(same, 0.95 * all) << same << " of " << all;
}

}  // namespace
}  // namespace teeny
