// The GPU engine against the libtorch oracle: every encoding's values, and the shipped model's logits and greedy text.
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/cuda/generator.h"
#include "runtime/cuda/session.h"
#include "runtime/cuda/weights.h"
#include "teeny/core/error.h"
#include "teeny/runtime/device.h"
#include "teeny/runtime/runner.h"

namespace teeny {
namespace {

const std::string kModel = TEENY_TEST_SOURCE_DIR "/configs/models/teeny-demo-7m";

class GpuEngine : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "no GPU";
    context.device = "cuda";
    device = open_device(context);
  }
  Context context;
  at::Device device = at::kCPU;
};

// 150 tokens by a large product against the decoded weight (N, K); false: there is no such product.
bool large_product_agrees(const PackedWeight& weight, const Tensor& decoded, const std::string& name) {
  if (!cuda::multiplies_large(weight.layout)) return false;
  const int64_t N = decoded.size(0), K = decoded.size(1), m = 150, rows = cuda::large_panel_rows(int(m));
  const auto halves = at::TensorOptions().dtype(at::kHalf).device(weight.storage.device());
  const Tensor x = at::randn({m, K}).to(at::kHalf), on_device = x.to(halves.device()), y = at::empty({m, N}, halves.dtype(at::kFloat));
  const Tensor panels = at::zeros({weight.layout.padded_columns() * rows}, halves);
  const cuda::Activations in{panels.data_ptr(), 0, int(rows)};
  cuda::to_panels(on_device.const_data_ptr(), K, int(m), K, in, nullptr);
  cuda::packed_linear_large(weight.view(), {in, int(m), nullptr, cuda::Store::Float, y.mutable_data_ptr<float>(), N, {}, nullptr}, nullptr);
  const Tensor want = at::mm(x.to(at::kDouble), decoded.to(at::kDouble).t()), scale = at::mm(x.to(at::kDouble).abs(), decoded.to(at::kDouble).abs().t());
  EXPECT_LT((y.cpu().to(at::kDouble) - want).abs().max().item<double>() / scale.max().item<double>(), 5e-4) << name;
  return true;
}

TEST_F(GpuEngine, EveryEncodingIsHeldAsItDecodes) {
  int packed = 0, large = 0;
  at::manual_seed(5);
  for (const auto& spec : conformance_specs()) {
    if (spec.kind == EncodingKind::Plain && spec.dtype == DType::F32) continue;
    const int64_t N = 96, K = 512;
    const auto encoding = make_encoding(spec);
    const Tensor w = at::randn({N, K}) * 0.05;
    const Quantized q = encoding->quantize(w, {});
    const QuantTensor stored = encoding->pack(q.levels, q.grid);
    const Tensor expected = encoding->decode(stored);
    const PreparedWeight prepared = prepare_weight(stored, spec.name(), N, K, device);
    packed += !prepared.decoded;
    const bool decoded = prepared.decoded;
    const auto weight = pack_weights({prepared});
    const Tensor out = at::empty({N, K}, at::TensorOptions().dtype(at::kHalf).device(device));
    weight.unpack(0, 0, N, out);
    const Tensor error = (out.cpu().to(at::kFloat) - expected).abs();
    EXPECT_LE((error / (expected.abs() + 1e-3)).max().item<float>(), 0x1p-10f) << spec.name() << " decoded " << decoded;
    // The product reads the same values without rounding them.
    const Tensor x = at::randn({1, K}).to(at::kHalf);
    const Tensor panels = x.view({K}).contiguous().to(device);  // one token's panels are its values in their order
    const Tensor y = at::empty({1, N}, at::TensorOptions().dtype(at::kFloat).device(device));
    cuda::packed_linear(weight.view(), {{panels.data_ptr(), 0, 1}, 1, nullptr, cuda::Store::Float, y.mutable_data_ptr<float>(), N, {}, nullptr}, nullptr);
    const Tensor want = at::mm(x.to(at::kDouble), (decoded ? expected.to(at::kHalf) : expected).to(at::kDouble).t());
    const double scale = at::mm(x.to(at::kDouble).abs(), expected.to(at::kDouble).abs().t()).max().item<double>();
    EXPECT_LT((y.cpu().to(at::kDouble) - want).abs().max().item<double>() / scale, 1e-4) << spec.name();
    large += large_product_agrees(weight, decoded ? expected.to(at::kHalf) : expected, spec.name());
  }
  EXPECT_GT(packed, 60);
  if (cuda::multiplies_large({})) {
    EXPECT_GT(large, packed / 2);
  }
}

// What large products need of a weight is found without a GPU.
TEST(GpuWeights, TheLargestScaleIsFound) {
  int found = 0;
  at::manual_seed(6);
  for (const auto& spec : conformance_specs()) {
    if (spec.kind == EncodingKind::Plain) continue;
    const auto encoding = make_encoding(spec);
    const Quantized q = encoding->quantize(at::randn({32, 512}) * 0.05, {});
    const QuantTensor stored = encoding->pack(q.levels, q.grid);
    const PreparedWeight prepared = prepare_weight(stored, spec.name(), 32, 512, at::kCPU);
    if (prepared.decoded || prepared.layout.form == cuda::ScaleForm::Row) continue;
    ++found;
    const float steps = float(1 << prepared.layout.bits), range = encoding->decode(stored).abs().max().item<float>() / prepared.factor;
    EXPECT_LE(prepared.largest_scale, range) << spec.name();
    EXPECT_GE(prepared.largest_scale * steps, 0.9f * range) << spec.name();
  }
  EXPECT_GT(found, 40);
}

TEST_F(GpuEngine, LogitsAreTheOracles) {
  Context cpu;
  const auto oracle = load_runner(open_source(kModel), cpu), gpu = load_runner(open_source(kModel), context);
  EXPECT_NE(gpu->weights_note().find("packed"), std::string::npos);
  const std::vector<std::vector<int32_t>> windows{oracle->tokenizer().encode("def add(a, b):\n    \"\"\"Return the sum of a and b.\"\"\"\n    return a + b\n\n\ndef main():\n"), oracle->tokenizer().encode("#")};
  std::vector<Tensor> want(2), got(2);
  oracle->score(windows, [&](size_t i, const Tensor& l) { want[i] = l.clone(); }, cpu);
  gpu->score(windows, [&](size_t i, const Tensor& l) { got[i] = l.cpu(); }, context);
  for (size_t i = 0; i < 2; ++i) {
    const Tensor p = at::softmax(want[i].to(at::kDouble), 1), q = at::log_softmax(got[i].to(at::kDouble), 1);
    const double kld = (p * (p.log() - q)).sum(1).mean().item<double>();
    EXPECT_LT(kld, 1e-5);
    EXPECT_LT((want[i] - got[i]).abs().max().item<float>(), 0.1);
  }
  EXPECT_GT(gpu->peak_device_bytes(), gpu->weight_bytes_resident());
}

TEST_F(GpuEngine, StepsContinueWhatPrefillBegan) {
  const auto gpu = load_runner(open_source(kModel), context);
  const auto tokens = gpu->tokenizer().encode("def count_words(text: str) -> int:\n    return len(text.split())\n");
  const int64_t T = int64_t(tokens.size());
  const Tensor ids = at::tensor(tokens, at::kInt).to(at::kLong).unsqueeze(0).expand({3, -1}).contiguous();
  Tensor whole;
  gpu->score({tokens}, [&](size_t, const Tensor& l) { whole = l[T - 1].cpu(); }, context);
  const auto session = gpu->open_session(3, 64);
  auto& s = dynamic_cast<GpuSession&>(*session);
  s.prefill(ids.slice(1, 0, 7));
  s.prefill(ids.slice(1, 7, 12));
  for (int64_t t = 12; t < T; ++t) s.prefill(ids.slice(1, t, t + 1));
  EXPECT_EQ(s.length(), T);
  for (int64_t b = 0; b < 3; ++b) EXPECT_LT((s.logits()[b].cpu() - whole).abs().max().item<float>(), 0.05) << b;
  s.reset(5);
  s.prefill(ids.slice(1, 5));
  EXPECT_LT((s.logits()[2].cpu() - whole).abs().max().item<float>(), 0.05);
}

TEST_F(GpuEngine, GreedyTextIsTheOraclesForEveryBatch) {
  Context cpu;
  const auto oracle = load_runner(open_source(kModel), cpu), gpu = load_runner(open_source(kModel), context);
  std::vector<std::vector<int32_t>> prompts;
  for (const char* text : {"def add_two(x: int) -> int:\n", "import", "class Reader:\n    def __init__(self", "x = [1, 2, 3]\n", "    return", "for i in range(10):\n", "#", "def f(a, b):\n",
                           "// Return the sum of arr.\nfunction sumAll(arr) {\n", "print(", "while True:\n", "if x:\n"})
    prompts.push_back(oracle->tokenizer().encode(text));
  GenerateParams params;
  params.max_new_tokens = 24;
  const auto want = oracle->generate(prompts, params, cpu);
  int different = 0;
  for (const int64_t batch : {1, 5, 0}) {
    params.batch = batch;
    size_t done = 0;
    const auto got = gpu->generate(prompts, params, context, [&](size_t, const Completion&) { ++done; });
    EXPECT_EQ(done, prompts.size());
    for (size_t i = 0; i < prompts.size(); ++i) {
      EXPECT_EQ(got[i].finish, want[i].finish) << i;
      different += got[i].ids != want[i].ids;
    }
  }
  EXPECT_LE(different, 3);  // of 36: a near tie may fall the other way in f16
}

TEST_F(GpuEngine, SamplingFollowsItsKey) {
  const auto gpu = load_runner(open_source(kModel), context);
  const std::vector<std::vector<int32_t>> prompts(6, gpu->tokenizer().encode("def "));
  GenerateParams params;
  params.max_new_tokens = 12, params.temperature = 1, params.top_p = 0.95, params.seed = 5;
  const auto a = gpu->generate(prompts, params, context), again = gpu->generate(prompts, params, context);
  for (size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(a[i].ids, again[i].ids);
  EXPECT_NE(a[0].ids, a[1].ids);
  params.seed = 6;
  EXPECT_NE(gpu->generate(prompts, params, context)[0].ids, a[0].ids);
}

TEST_F(GpuEngine, Int8ProductsAreExact) {
  int checked = 0;
  at::manual_seed(6);
  for (const auto& spec : conformance_specs()) {
    if (spec.act_bits != 8) continue;
    const int64_t N = 96, K = 384, T = 33;
    const auto encoding = make_encoding(spec);
    const Quantized q = encoding->quantize(at::randn({N, K}) * 0.05, {});
    const QuantTensor stored = encoding->pack(q.levels, q.grid);
    const auto prepare = [&] { return prepare_weight(stored, spec.name(), N, K, device); };
    if (!cuda::unpacks_to_int8(prepare().layout) || prepare().input_zero.defined()) continue;
    std::vector<PreparedWeight> two;
    two.push_back(prepare()), two.push_back(prepare());
    const auto pair = pack_weights(std::move(two), true);
    const Tensor x = at::randn({T, K}).to(at::kHalf).to(device), scale_in = pair.input_scale;
    const auto floats = x.options().dtype(at::kFloat);
    const Tensor tokens = at::empty({T, K}, x.options().dtype(at::kChar)), scale = at::empty({T}, floats), codes = at::empty({N, K}, x.options().dtype(at::kChar)), out = at::ones({T, N}, floats);
    cuda::tokens_to_int8(x.data_ptr(), K, T, K, scale_in.defined() ? scale_in.const_data_ptr<float>() : nullptr, tokens.mutable_data_ptr<int8_t>(), scale.mutable_data_ptr<float>(), nullptr);
    cuda::unpack_int8(pair.view(), N, pair.parts[1].tile0, pair.parts[1].tile_stride, codes.mutable_data_ptr<int8_t>(), nullptr);
    const Tensor row_scale = pair.row_scale.view({-1, 2, 16}).select(1, 1).reshape({-1}).contiguous(), sums = at::_int_mm(tokens, codes.t());
    cuda::finish_int8(sums.const_data_ptr<int32_t>(), T, N, scale.const_data_ptr<float>(), row_scale.const_data_ptr<float>(), nullptr, true, true, out.mutable_data_ptr(), N, nullptr);
    const Tensor rounded = round_to_int8(x.cpu().to(at::kFloat), scale_in.defined() ? scale_in.cpu() : Tensor(), {});
    const Tensor want = at::mm(rounded.to(at::kDouble), encoding->decode(stored).to(at::kDouble).t()) + 1;
    EXPECT_LT((out.cpu().to(at::kDouble) - want).abs().max().item<double>(), 2e-5) << spec.name();
    ++checked;
  }
  EXPECT_GE(checked, 2);
}

TEST_F(GpuEngine, LayersInHostMemoryChangeNothing) {
  const auto all = load_runner(open_source(kModel), context);
  const std::vector<std::vector<int32_t>> prompts{all->tokenizer().encode("def is_prime(n):\n"), all->tokenizer().encode("class Stack:\n    def __init__(self):\n")};
  GenerateParams params;
  params.max_new_tokens = 24;
  const auto want = all->generate(prompts, params, context);
  Tensor want_logits, got_logits;
  all->score({prompts[0]}, [&](size_t, const Tensor& l) { want_logits = l.cpu(); }, context);
  for (const char* count : {"0", "3", "1000"}) {
    const auto some = load_runner(open_source(kModel), context, {.gpu_layers = count});
    EXPECT_EQ(some->weights_note().find("read over the bus") != std::string::npos, std::string(count) != "1000") << some->weights_note();
    const auto got = some->generate(prompts, params, context);
    for (size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(got[i].ids, want[i].ids) << count;
    some->score({prompts[0]}, [&](size_t, const Tensor& l) { got_logits = l.cpu(); }, context);
    EXPECT_TRUE(got_logits.equal(want_logits)) << count;
  }
}

TEST_F(GpuEngine, MemoryThatIsNotThereIsADeviceError) {
  const auto gpu = load_runner(open_source(kModel), context);
  GenerateParams params;
  params.max_new_tokens = int64_t(1) << 31;
  try {
    gpu->generate({{1, 2, 3}}, params, context);
    FAIL() << "a cache of terabytes was made";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Device) << e.what();
  }
}

}  // namespace
}  // namespace teeny
