// Checkpoints as other programs write them, put together tensor by tensor.
#include "teeny/model/loader.h"

#include <gtest/gtest.h>

#include "container_files.h"
#include "teeny/containers/sink.h"
#include "teeny/encodings/encoding.h"
#include "teeny/model/block.h"

namespace teeny {
namespace {
using test::expect_error;

class LoaderTest : public ::testing::Test {
 public:
  LoaderTest& with(const std::string& name, const Tensor& tensor) {
    tensors_.emplace_back(name, tensor.contiguous());
    return *this;
  }

  Weight read(const Json& quantization, int64_t N, int64_t K) {
    std::vector<TensorSpec> specs;
    for (const auto& [name, tensor] : tensors_) specs.push_back({name, dtype_of(tensor.scalar_type()), tensor.sizes().vec()});
    auto sink = create_safetensors_sink(dir_.path(), specs);
    for (const auto& [name, tensor] : tensors_) sink->put(name, {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()});
    sink->finish();
    dir_.write("config.json", Json{{"quantization_config", quantization}}.dump());
    source_ = open_source(dir_.path());
    loader_.emplace(*source_, spec_);
    return loader_->linear("a.b_proj", N, K);
  }

  static Json compressed(const char* format, const Json& weights, const Json& targets = Json::array({"Linear"})) {
    return {{"quant_method", "compressed-tensors"}, {"format", format}, {"config_groups", {{"group_0", {{"targets", targets}, {"weights", weights}}}}}};
  }

  test::TempDir dir_;
  ModelSpec spec_;
  std::vector<std::pair<std::string, Tensor>> tensors_;
  std::unique_ptr<TensorSource> source_;
  std::optional<WeightLoader> loader_;
};

const Json kFour = {{"num_bits", 4}, {"symmetric", true}, {"strategy", "channel"}};
const Json kAsym = {{"num_bits", 4}, {"symmetric", false}, {"strategy", "group"}, {"group_size", 4}};

TEST_F(LoaderTest, CompressedTensorsWithInt32ShapeAndScalarScale) {
  with("a.b_proj.weight_packed", at::tensor({0x76543210, 0x0fedcba9}, at::kInt).view({2, 1})).with("a.b_proj.weight_shape", at::tensor({2, 7}, at::kInt));
  with("a.b_proj.weight_scale", at::tensor(0.5f).to(at::kBFloat16));  // strategy tensor, rank 0
  const auto weight = std::get<QuantTensor>(read(compressed("pack-quantized", {{"num_bits", 4}, {"strategy", "tensor"}}), 2, 7));
  EXPECT_EQ(weight.spec.name(), "ct_int4_channel_sym");
  EXPECT_TRUE(decode(weight).equal(at::tensor({-4.0f, -3.5f, -3.0f, -2.5f, -2.0f, -1.5f, -1.0f, 0.5f, 1.0f, 1.5f, 2.0f, 2.5f, 3.0f, 3.5f}).view({2, 7})));
}

TEST_F(LoaderTest, CompressedTensorsZeroPointsPackedOrNot) {
  const Tensor zero = at::tensor({-8, 7, 0, -1}, at::kChar).view({2, 2});
  for (const bool packed : {true, false}) {
    tensors_.clear();
    with("a.b_proj.weight_packed", at::tensor({0x76543210, 0x76543210}, at::kInt).view({2, 1})).with("a.b_proj.weight_scale", at::ones({2, 2}, at::kHalf));
    with("a.b_proj.weight_shape", at::tensor({2, 8}, at::kLong)).with("a.b_proj.weight_zero_point", packed ? at::tensor({0x80, 0x7f}, at::kInt).view({1, 2}) : zero);
    const Tensor w = decode(read(compressed("pack-quantized", kAsym), 2, 8));
    EXPECT_TRUE(w.equal(at::tensor({0., 1., 2., 3., -11., -10., -9., -8., -8., -7., -6., -5., -3., -2., -1., 0.}, at::kFloat).view({2, 8}))) << w;
  }
}

TEST_F(LoaderTest, CompressedTensorsDamage) {
  with("a.b_proj.weight_packed", at::zeros({2, 1}, at::kInt)).with("a.b_proj.weight_scale", at::ones({2, 2}, at::kHalf));
  expect_error(ErrorKind::Input, "weight_zero_point is missing", [&] { read(compressed("pack-quantized", kAsym), 2, 8); });
  expect_error(ErrorKind::Input, "weight_scale has shape (2, 2)", [&] { read(compressed("pack-quantized", kFour), 2, 8); });
  expect_error(ErrorKind::Input, "names it in no target", [&] { read(compressed("pack-quantized", kFour, Json::array({"re:.*up_proj"})), 2, 8); });
  expect_error(ErrorKind::Input, "no regular expression", [&] { read(compressed("pack-quantized", kFour, Json::array({"re:(("})), 2, 8); });
  with("a.b_proj.weight_shape", at::tensor({2, 9}, at::kLong));
  tensors_[1].second = at::ones({2, 1}, at::kHalf);
  expect_error(ErrorKind::Input, "weight_shape says (2, 9)", [&] { read(compressed("pack-quantized", kFour), 2, 8); });
}

TEST_F(LoaderTest, TargetsRankNamesOverPatternsOverClasses) {
  Json config = compressed("pack-quantized", {{"num_bits", 8}, {"strategy", "channel"}});
  config["config_groups"]["group_1"] = {{"targets", {"re:.*b_proj$"}}, {"weights", kFour}};
  with("a.b_proj.weight_packed", at::tensor({0x76543210}, at::kInt).view({1, 1})).with("a.b_proj.weight_scale", at::ones({1, 1}, at::kHalf));
  with("a.b_proj.weight_shape", at::tensor({1, 8}, at::kLong));
  EXPECT_EQ(std::get<QuantTensor>(read(config, 1, 8)).spec.bits, 4);
  config["config_groups"]["group_2"] = {{"targets", {"a.b_proj"}}, {"weights", {{"num_bits", 8}, {"strategy", "channel"}}}};
  tensors_.back().second = at::tensor({1, 4}, at::kLong);
  EXPECT_EQ(std::get<QuantTensor>(read(config, 1, 4)).spec.bits, 8);
}

TEST_F(LoaderTest, W8A8RoundsItsInput) {
  Json config = compressed("int-quantized", {{"num_bits", 8}, {"strategy", "channel"}});
  config["config_groups"]["group_0"]["input_activations"] = {{"num_bits", 8}, {"strategy", "token"}, {"dynamic", true}};
  with("a.b_proj.weight", at::tensor({2, -128}, at::kChar).view({1, 2})).with("a.b_proj.weight_scale", at::full({1, 1}, 0.5f));
  read(config, 1, 2);
  const Linear linear = load_linear(*loader_, "a.b_proj", 1, 2, at::kFloat);
  ASSERT_EQ(linear.act_bits, 8);
  // absmax 255 gives steps of 2: 101 becomes 100 (50.5 rounds to even), 255 saturates at 127 steps, 254.
  EXPECT_EQ(linear(at::tensor({101.0f, 255.0f}).view({1, 2})).item<float>(), 100.0f * 1 + 254.0f * -64);
  EXPECT_EQ(linear(at::zeros({1, 2})).item<float>(), 0);
}

TEST(MixedProducts, ColumnsWithOutliersAreNotRounded) {
  const Tensor x = at::tensor({1.0f, 10.0f, 0.5f, -2.0f, 0.1f, 1.0f}).view({2, 3});
  // Column 1 holds a 10. Of the rest, 0.5 of absmax 1 and 1 of absmax 2 are 63.5 steps each: the even 64.
  const Tensor expected = at::tensor({1.0f, 10.0f, 64 / 127.0f, -2.0f, 0.1f, 128 / 127.0f}).view({2, 3});
  EXPECT_TRUE(at::allclose(round_but_outliers(x, 6), expected, 1e-6, 1e-6)) << round_but_outliers(x, 6);
  EXPECT_TRUE(at::allclose(round_but_outliers(x, 0).select(1, 1), at::tensor({10.0f, 0.0f + 6 * 2 / 127.0f}), 1e-6, 1e-6));  // none is apart
  EXPECT_TRUE(round_but_outliers(at::zeros({1, 2, 3}), 6).equal(at::zeros({1, 2, 3})));
  // A sequence does not see its neighbour's outliers.
  const Tensor two = at::stack({x, at::ones({2, 3}) * at::tensor({1.0f, 0.3f, 0.2f})});
  EXPECT_TRUE(round_but_outliers(two, 6)[1].equal(round_but_outliers(two.slice(0, 1), 6)[0]));
}

TEST_F(LoaderTest, StaticActivations) {
  Json config = compressed("int-quantized", {{"num_bits", 8}, {"strategy", "channel"}});
  config["config_groups"]["group_0"]["input_activations"] = {{"num_bits", 8}, {"strategy", "tensor"}, {"dynamic", false}, {"symmetric", false}};
  with("a.b_proj.weight", at::tensor({1, 1}, at::kChar).view({1, 2})).with("a.b_proj.weight_scale", at::ones({1, 1}, at::kHalf));
  with("a.b_proj.input_scale", at::full({1}, 0.5f, at::kHalf)).with("a.b_proj.input_zero_point", at::full({}, -28, at::kChar));
  read(config, 1, 2);
  const Linear linear = load_linear(*loader_, "a.b_proj", 1, 2, at::kFloat);
  // x / 0.5 - 28 in -128..127: 100 -> 172 is cut to 127 -> 155 * 0.5 = 77.5; 3.3 -> 6.6 -> 7 -> 3.5.
  EXPECT_EQ(linear(at::tensor({100.0f, 3.3f}).view({1, 2})).item<float>(), 81.0f);
}

TEST_F(LoaderTest, Nf4WithDoubleQuantization) {
  Tensor table = at::zeros({256}), map = at::zeros({16});
  table[10] = 0.25f, table[20] = -0.5f, map[1] = 0.5f, map[15] = 1.0f;
  with("a.b_proj.weight", at::tensor({0x1f, 0xf1, 0x00, 0x1f}, at::kByte).view({4, 1})).with("a.b_proj.weight.absmax", at::tensor({10, 20}, at::kByte));
  with("a.b_proj.weight.quant_map", map).with("a.b_proj.weight.nested_absmax", at::tensor({2.0f})).with("a.b_proj.weight.nested_quant_map", table);
  const auto state = [&](const std::string& text) {
    if (tensors_.size() == 6) tensors_.pop_back();
    with("a.b_proj.weight.quant_state.bitsandbytes__nf4", at::tensor(std::vector<uint8_t>(text.begin(), text.end()), at::kByte));
  };
  const Json config = {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}, {"bnb_4bit_quant_type", "nf4"}};
  state(R"({"quant_type":"nf4","blocksize":4,"dtype":"bfloat16","shape":[2,4],"nested_blocksize":256,"nested_dtype":"float32","nested_offset":3.0})");
  const auto weight = std::get<QuantTensor>(read(config, 2, 4));
  EXPECT_EQ(weight.spec.name(), "nf4_g4");
  // absmax: 0.25 * 2 + 3 = 3.5 and -0.5 * 2 + 3 = 2.
  EXPECT_TRUE(decode(weight).equal(at::tensor({1.75f, 3.5f, 3.5f, 1.75f, 0.0f, 0.0f, 1.0f, 2.0f}).view({2, 4})));
  for (const auto& [text, part] : {std::pair{R"({"quant_type":"nf4","blocksize":4,"shape":[4,2]})", "was (4, 2)"}, {R"({"quant_type":"int4","blocksize":4,"shape":[2,4]})", "quant_type"},
                                   {R"({"quant_type":"nf4","blocksize":0,"shape":[2,4]})", "blocksize"}, {R"({"quant_type":"nf4","blocksize":4,"shape":[2,-4]})", "shape"},
                                   {R"({"quant_type":"nf4","blocksize":4)", "quant_state"}, {R"({"quant_type":"nf4","blocksize":3,"shape":[2,4]})", "block of 3"}}) {
    state(text);
    expect_error(ErrorKind::Input, part, [&] { read(config, 2, 4); });
  }
}

TEST_F(LoaderTest, GptqZeroPointsSayTheVersion) {
  const Json config = {{"quant_method", "gptq"}, {"bits", 3}, {"group_size", -1}, {"sym", true}, {"checkpoint_format", "gptq"}};
  const auto put = [&](int64_t field) {
    tensors_.clear();
    with("a.b_proj.qweight", at::zeros({3, 32}, at::kInt)).with("a.b_proj.scales", at::ones({1, 32}, at::kHalf));
    std::vector<int32_t> words(3);
    for (int64_t i = 0; i < 96; ++i)
      if (field >> (i % 3) & 1) words[size_t(i / 32)] |= int32_t(1u << (i % 32));
    with("a.b_proj.qzeros", at::tensor(words, at::kInt).view({1, 3}));
    return std::get<QuantTensor>(read(config, 32, 32)).spec;
  };
  EXPECT_EQ(put(3).zero_offset, 1);
  EXPECT_FALSE(loader_->label_contradicted());
  EXPECT_EQ(put(4).zero_offset, 0);
  EXPECT_TRUE(loader_->label_contradicted());
  EXPECT_FALSE(put(5).symmetric);  // neither: the label is wrong about symmetry
}

TEST_F(LoaderTest, AwqWithoutZeroPoints) {
  with("a.b_proj.qweight", at::full({2, 1}, int64_t(0x99999999 - (int64_t(1) << 32)), at::kInt)).with("a.b_proj.scales", at::full({1, 8}, 2.0f, at::kHalf));
  const Tensor w = decode(read({{"quant_method", "awq"}, {"bits", 4}, {"group_size", -1}, {"zero_point", false}, {"version", "gemm"}}, 8, 2));
  EXPECT_TRUE(w.equal(at::full({8, 2}, 2.0f)));
}

}  // namespace
}  // namespace teeny
