// The type of every tensor under every file type, against what llama-quantize wrote and against rows of llama.cpp's own
// golden tables (tests/snapshots/*.schema: exceptions to the default type, per model).
#include "teeny/plan/gguf_mix.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "teeny/core/error.h"
#include "teeny/core/json.h"

namespace teeny {
namespace {

std::vector<MixTensor> dense_model(int64_t layers, int64_t hidden, int64_t intermediate, bool tied) {
  std::vector<MixTensor> all{{"token_embd.weight", {1000, hidden}}, {"output_norm.weight", {hidden}}};
  if (!tied) all.push_back({"output.weight", {1000, hidden}});
  for (int64_t i = 0; i < layers; ++i) {
    const std::string prefix = fmt::format("blk.{}.", i);
    for (const auto name : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up"}) all.push_back({prefix + name + ".weight", {hidden, hidden}});
    all.push_back({prefix + "ffn_down.weight", {hidden, intermediate}});
    all.push_back({prefix + "attn_q.bias", {hidden}});
    all.push_back({prefix + "ffn_norm.weight", {hidden}});
  }
  return all;
}

class Chosen {
 public:
  Chosen(const char* type, const MixModel& model, std::vector<MixTensor> tensors, bool importance = false)
      : tensors_(std::move(tensors)), choices_(gguf_type_mix(gguf_file_type(type), model, tensors_, importance)) {}
  std::string operator[](const std::string& name) const {
    for (size_t i = 0; i < tensors_.size(); ++i)
      if (tensors_[i].name == name) return std::string(name_of(choices_[i].dtype));
    return "absent";
  }
  // Blocks whose `role` has `type`, as "0 1 4".
  std::string blocks(const std::string& role, const std::string& type) const {
    std::string out;
    for (int i = 0; (*this)[fmt::format("blk.{}.attn_q.weight", i)] != "absent"; ++i)
      if ((*this)[fmt::format("blk.{}.{}.weight", i, role)] == type) out += fmt::format("{}{}", out.empty() ? "" : " ", i);
    return out;
  }

 private:
  std::vector<MixTensor> tensors_;
  std::vector<MixChoice> choices_;
};

const MixModel kQwen3Small{"qwen3", 28, 16, 8, 0};
const MixModel kQwen3Large{"qwen3", 40, 40, 8, 0};
const MixModel kLlama70{"llama", 80, 64, 8, 0};

TEST(GgufMix, LlamaQuantizeOfTheShippedModel) {
  const std::filesystem::path path = std::filesystem::path(TEENY_TEST_SOURCE_DIR) / "../shared/data/llama-quantize.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "the types that llama-quantize chose are not here";
  std::ifstream in(path);
  const Json golden = parse_json(std::string{std::istreambuf_iterator<char>(in), {}}, "test", "llama-quantize.json");
  int checked = 0;
  for (const auto& [type, variants] : golden["types"].items())
    for (const bool importance : {false, true}) {
      const Json& expected = variants[importance ? "imatrix" : "plain"];
      std::vector<MixTensor> tensors;
      for (const auto& [name, entry] : expected.items()) {
        const bool matrix = name.ends_with(".weight") && name.find("norm") == std::string::npos;
        const int64_t K = name.find("ffn_down") != std::string::npos ? 768 : 256;
        tensors.push_back({name, matrix ? std::vector<int64_t>{256, K} : std::vector<int64_t>{K}});
      }
      const auto choices = gguf_type_mix(gguf_file_type(type), {"qwen2", 8, 4, 2, 0}, tensors, importance);
      for (size_t i = 0; i < tensors.size(); ++i, ++checked)
        EXPECT_EQ(name_of(choices[i].dtype), expected[tensors[i].name]["type"].get<std::string>()) << type << " " << tensors[i].name;
    }
  EXPECT_GT(checked, 3000);
}

TEST(GgufMix, MediumMixOf28And40Layers) {
  const Chosen small("Q4_K_M", kQwen3Small, dense_model(28, 1024, 3072, false));
  EXPECT_EQ(small["output.weight"], "Q6_K");
  EXPECT_EQ(small["token_embd.weight"], "Q4_K");
  EXPECT_EQ(small["blk.0.attn_q.bias"], "F32");
  EXPECT_EQ(small["blk.0.ffn_norm.weight"], "F32");
  EXPECT_EQ(small.blocks("attn_v", "Q6_K"), "0 1 2 5 8 11 14 17 20 23 24 25 26 27");
  EXPECT_EQ(small.blocks("ffn_down", "Q6_K"), "0 1 2 5 8 11 14 17 20 23 24 25 26 27");
  EXPECT_EQ(small.blocks("attn_output", "Q6_K"), "");
  const Chosen large("Q5_K_M", kQwen3Large, dense_model(40, 5120, 17408, false));
  EXPECT_EQ(large.blocks("ffn_down", "Q6_K"), "0 1 2 3 4 7 10 13 16 19 22 25 28 31 34 35 36 37 38 39");
  EXPECT_EQ(large.blocks("attn_v", "Q6_K"), "0 1 2 3 4 7 10 13 16 19 22 25 28 31 34 35 36 37 38 39");
}

TEST(GgufMix, SmallMixes) {
  const Chosen q4("Q4_K_S", kQwen3Small, dense_model(28, 1024, 3072, false));
  EXPECT_EQ(q4.blocks("attn_v", "Q5_K"), "0 1 2 3");
  EXPECT_EQ(q4.blocks("ffn_down", "Q5_K"), "0 1 2");
  const Chosen q4_large("Q4_K_S", kQwen3Large, dense_model(40, 5120, 17408, false));
  EXPECT_EQ(q4_large.blocks("ffn_down", "Q5_K"), "0 1 2 3 4");
  const Chosen q3("Q3_K_M", kQwen3Small, dense_model(28, 1024, 3072, false));
  EXPECT_EQ(q3.blocks("attn_v", "Q5_K"), "0 1");
  EXPECT_EQ(q3.blocks("ffn_down", "Q5_K"), "0");
  EXPECT_EQ(q3["blk.20.ffn_down.weight"], "Q4_K");
  EXPECT_EQ(q3["blk.20.attn_output.weight"], "Q4_K");
  EXPECT_EQ(q3["blk.20.attn_q.weight"], "Q3_K");
  const Chosen q2s("Q2_K_S", kQwen3Large, dense_model(40, 5120, 17408, false), true);
  EXPECT_EQ(q2s.blocks("ffn_down", "Q4_K"), "0 1 2 3 4");
  EXPECT_EQ(q2s["blk.39.attn_v.weight"], "Q4_K");
}

TEST(GgufMix, GroupedQueriesAnd70B) {
  EXPECT_EQ(Chosen("Q2_K", kQwen3Small, dense_model(28, 1024, 3072, false))["blk.3.attn_v.weight"], "Q3_K");
  EXPECT_EQ(Chosen("Q2_K", kQwen3Large, dense_model(40, 5120, 17408, false))["blk.3.attn_v.weight"], "Q4_K");
  EXPECT_EQ(Chosen("IQ4_XS", kQwen3Large, dense_model(40, 5120, 17408, false))["blk.30.attn_v.weight"], "Q5_K");
  const auto tensors = dense_model(80, 8192, 28672, false);
  for (const auto type : {"Q2_K", "Q3_K_S", "Q3_K_M"}) EXPECT_EQ(Chosen(type, kLlama70, tensors)["blk.50.attn_v.weight"], "Q5_K") << type;
  EXPECT_EQ(Chosen("Q4_K_M", kLlama70, tensors)["blk.11.attn_v.weight"], "Q5_K");
  EXPECT_EQ(Chosen("Q4_K_M", {"qwen2", 80, 64, 8, 0}, tensors)["blk.11.attn_v.weight"], "Q5_K");
  EXPECT_EQ(Chosen("Q4_K_M", {"llama", 80, 64, 64, 0}, tensors)["blk.11.attn_v.weight"], "Q4_K");
}

TEST(GgufMix, RowsThatBlocksOf256DoNotFit) {
  // Qwen2.5-0.5B: hidden 896, tied, 24 layers.
  const Chosen mix("Q4_K_M", {"qwen2", 24, 14, 2, 0}, dense_model(24, 896, 4864, true));
  EXPECT_EQ(mix["token_embd.weight"], "Q8_0");
  EXPECT_EQ(mix["blk.5.attn_q.weight"], "Q5_0");
  EXPECT_EQ(mix["blk.0.attn_v.weight"], "Q8_0");
  EXPECT_EQ(mix["blk.0.ffn_down.weight"], "Q6_K");
  EXPECT_EQ(gguf_fallback(DType::Q3_K, 896), DType::Q4_0);
  EXPECT_EQ(gguf_fallback(DType::Q5_K, 896), DType::Q5_1);
  EXPECT_EQ(gguf_fallback(DType::IQ4_XS, 896), DType::IQ4_NL);
  EXPECT_EQ(gguf_fallback(DType::Q4_K, 100), DType::F16);
  EXPECT_EQ(gguf_fallback(DType::Q4_K, 1024), DType::Q4_K);
}

TEST(GgufMix, ImportanceChangesEarlyDown) {
  const auto tensors = dense_model(16, 1024, 3072, true);
  const MixModel model{"llama", 16, 16, 16, 0};
  EXPECT_EQ(Chosen("Q4_0", model, tensors, true).blocks("ffn_down", "Q4_1"), "0 1");
  EXPECT_EQ(Chosen("Q4_0", model, tensors, false).blocks("ffn_down", "Q4_1"), "");
  EXPECT_EQ(Chosen("Q5_0", model, tensors, true).blocks("ffn_down", "Q5_1"), "0 1");
  EXPECT_EQ(Chosen("IQ4_NL", model, tensors, false).blocks("ffn_down", "Q5_K"), "0 1");
  EXPECT_EQ(Chosen("IQ4_NL", model, tensors, true).blocks("ffn_down", "Q5_K"), "");
}

TEST(GgufMix, EightExperts) {
  const MixModel mixtral{"llama", 32, 32, 8, 8};
  const Chosen mix("Q4_K_M", mixtral, dense_model(32, 4096, 14336, false));
  EXPECT_EQ(mix["blk.9.attn_v.weight"], "Q8_0");
  EXPECT_EQ(mix["blk.9.attn_k.weight"], "Q8_0");
  EXPECT_EQ(mix["blk.9.attn_output.weight"], "Q5_K");
  const auto router = gguf_type_mix(gguf_file_type("Q4_K_M"), mixtral, {{"blk.0.ffn_gate_inp.weight", {8, 4096}}, {"blk.31.ffn_down_exps.weight", {8, 4096, 14336}}}, false);
  EXPECT_EQ(router[0].dtype, DType::F32);
  EXPECT_EQ(router[1].dtype, DType::Q6_K);
}

TEST(GgufMix, OrderOfTheListDoesNotMatter) {
  auto tensors = dense_model(28, 1024, 3072, false);
  const Chosen forward("Q4_K_M", kQwen3Small, tensors);
  std::reverse(tensors.begin(), tensors.end());
  EXPECT_EQ(Chosen("Q4_K_M", kQwen3Small, tensors).blocks("attn_v", "Q6_K"), forward.blocks("attn_v", "Q6_K"));
}

TEST(GgufMix, FileTypes) {
  EXPECT_EQ(gguf_file_type("q4_k_m").number, 15);
  EXPECT_EQ(gguf_file_type("BF16").number, 32);
  EXPECT_EQ(gguf_file_type("Q2_K").dtype, DType::Q2_K);
  EXPECT_EQ(Chosen("F16", kQwen3Small, dense_model(28, 1000, 3000, false))["blk.3.attn_v.weight"], "F16");
  try {
    gguf_file_type("Q4_K");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::Usage);
    EXPECT_NE(std::string(error.what()).find("Q4_K_M"), std::string::npos);
  }
}

}  // namespace
}  // namespace teeny
