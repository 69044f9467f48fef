// The rules about who loads what, on the sizes of real models.
#include "teeny/plan/runtimes.h"

#include <gtest/gtest.h>

#include "container_files.h"
#include "fake_source.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

ModelSpec sizes(int64_t hidden, int64_t heads, int64_t kv_heads, int64_t intermediate, int64_t layers = 2) {
  ModelSpec spec;
  spec.family = "qwen2", spec.hf_class = "Qwen2ForCausalLM", spec.gguf_arch = "qwen2", spec.name = "m";
  spec.hidden = hidden, spec.layers = layers, spec.heads = heads, spec.kv_heads = kv_heads, spec.head_dim = 128, spec.intermediate = intermediate, spec.vocab = 1024, spec.context = 512;
  return spec;
}
const ModelSpec kQwen72b = sizes(8192, 64, 8, 29568), kQwen7b = sizes(3584, 28, 4, 18944), kLlama8b = sizes(4096, 32, 8, 14336);

CheckpointFacts facts(const std::string& format, int bits, int64_t group, bool symmetric, const ModelSpec& spec = kLlama8b) {
  CheckpointFacts f;
  f.format = format, f.bits = bits, f.group = group, f.symmetric = symmetric, f.spec = spec;
  return f;
}
Verdict of(const CheckpointFacts& f, const std::string& runtime) {
  for (const auto& verdict : judge_runtimes(f))
    if (verdict.runtime == runtime) return verdict;
  return {};
}

TEST(Runtimes, QwenOf72BillionDoesNotSplitWithGroupsOf128) {
  const auto f = facts("gptq", 4, 128, true, kQwen72b);
  for (const int gpus : {2, 4, 8}) EXPECT_NE(split_problem(f, gpus).find("down_proj has 29568 columns"), std::string::npos) << gpus;
  EXPECT_NE(split_problem(f, 8).find("29696"), std::string::npos);
  EXPECT_EQ(of(f, "vLLM").loads, "yes");
  EXPECT_NE(of(f, "vLLM").why.find("no tensor parallelism over 2, 4 or 8"), std::string::npos) << of(f, "vLLM").why;
  EXPECT_EQ(split_problem(facts("gptq", 4, 128, true, sizes(8192, 64, 8, 29696)), 8), "");  // the padded size that Qwen publishes
}

TEST(Runtimes, SplitsOfSmallerModels) {
  for (const int gpus : {2, 4, 8}) EXPECT_EQ(split_problem(facts("gptq", 4, 128, true), gpus), "");
  EXPECT_EQ(split_problem(facts("awq", 4, 128, false, kQwen7b), 4), "");
  EXPECT_NE(split_problem(facts("awq", 4, 128, false, kQwen7b), 8).find("28 heads"), std::string::npos);
  EXPECT_EQ(split_problem(facts("gptq", 4, 32, true, kQwen72b), 4), "");
  auto w8a8 = facts("compressed-tensors", 8, -1, true, kQwen72b);
  w8a8.act_bits = 8;
  EXPECT_EQ(split_problem(w8a8, 8), "");  // no groups, no tiles of Marlin
}

TEST(Runtimes, Vllm) {
  EXPECT_EQ(of(facts("gptq", 4, 128, true), "vLLM").loads, "yes");
  EXPECT_EQ(of(facts("gptq", 8, -1, true), "vLLM").loads, "yes");
  EXPECT_EQ(of(facts("gptq", 4, 128, false), "vLLM").loads, "no");
  EXPECT_EQ(of(facts("gptq", 3, 128, true), "vLLM").loads, "no");
  EXPECT_EQ(of(facts("gptq", 4, 1024, true), "vLLM").loads, "partly");
  EXPECT_NE(of(facts("gptq", 4, 1024, true), "vLLM").why.find("not 1024"), std::string::npos);
  EXPECT_EQ(of(facts("awq", 4, 128, false), "vLLM").loads, "yes");
  auto no_zero = facts("awq", 4, 128, true);
  no_zero.zero_point = false;
  EXPECT_EQ(of(no_zero, "vLLM").loads, "no");
  EXPECT_EQ(of(facts("compressed-tensors", 4, 128, false), "vLLM").loads, "yes");
  auto unequal = facts("compressed-tensors", 4, 128, true);
  unequal.unequal = "q_proj and k_proj of layer 0";
  EXPECT_EQ(of(unequal, "vLLM").loads, "no");
  EXPECT_EQ(of(facts("gptq", 4, 96, true), "vLLM").loads, "no");  // 4096 / 96
  auto tiny = facts("gptq", 4, 32, true, sizes(160, 2, 1, 416));
  EXPECT_EQ(of(tiny, "vLLM").loads, "partly");
  EXPECT_NE(of(tiny, "vLLM").why.find("Marlin needs rows in 64s"), std::string::npos);
}

TEST(Runtimes, Others) {
  EXPECT_EQ(of(facts("gguf", 4, -1, true), "llama.cpp").loads, "yes");
  EXPECT_EQ(of(facts("gguf", 4, -1, true), "ollama").loads, "yes");
  EXPECT_EQ(of(facts("gptq", 3, 128, true), "Transformers").loads, "yes");
  EXPECT_EQ(of(facts("gptq", 3, 128, true), "GPTQModel").loads, "yes");
  EXPECT_EQ(of(facts("gptq", 3, 128, true), "SGLang").loads, "no");
  EXPECT_EQ(of(facts("gptq", 3, 128, true), "llama.cpp").loads, "no");
  EXPECT_EQ(of(facts("compressed-tensors", 4, 128, true), "Transformers").loads, "yes");
  EXPECT_EQ(of(facts("compressed-tensors", 4, 128, false), "Transformers").loads, "partly");
  EXPECT_EQ(of(facts("compressed-tensors", 4, 128, true), "GPTQModel").runtime, "");  // not said at all
  auto ordered = facts("compressed-tensors", 4, 128, true);
  ordered.ordered = true;
  EXPECT_EQ(of(ordered, "Transformers").loads, "partly");
  auto lone = facts("safetensors", 16, -1, true);
  lone.has_config = false;
  EXPECT_EQ(of(lone, "vLLM").loads, "no");
}

Plan planned(const std::string& method, const std::function<void(QuantizeOptions&)>& change) {
  test::FakeSource source(ContainerKind::Safetensors, "m");
  QuantizeOptions options;
  options.method = method;
  change(options);
  return make_plan(source, kLlama8b, options);
}

TEST(Plans, CompressedTensors) {
  const Plan awq8 = planned("awq", [](auto& o) { o.bits = 8; });
  EXPECT_EQ(awq8.format, "compressed-tensors");
  EXPECT_EQ(encoding_groups(awq8)[0].encoding.name(), "ct_int8_g128_asym");
  const Plan w8a8 = planned("int8", [](auto& o) { o.act_bits = 8; });
  EXPECT_EQ(w8a8.format, "compressed-tensors");
  EXPECT_EQ(w8a8.act_bits, 8);
  EXPECT_EQ(encoding_groups(w8a8)[0].encoding.name(), "ct_w8a8_channel_sym");
  EXPECT_EQ(w8a8.dtype, "BF16");
  EXPECT_EQ(planned("int8", [](auto&) {}).format, "bitsandbytes");
  const auto refused = [](const std::string& method, const char* part, const std::function<void(QuantizeOptions&)>& change) {
    test::expect_error(ErrorKind::Input, part, [&] { planned(method, change); });
  };
  refused("gptq", "4 and 8 bits only", [](auto& o) { o.bits = 3, o.format = "compressed-tensors"; });
  refused("gptq", "--bits 8", [](auto& o) { o.act_bits = 8; });
  refused("awq", "cannot be combined", [](auto& o) { o.bits = 8, o.act_bits = 8; });
  refused("int8", "cannot be stored", [](auto& o) { o.act_bits = 8, o.format = "gptq"; });
  refused("awq", "use --method gptq", [](auto& o) { o.sparsity = "2:4"; });
  refused("gptq", "cannot hold 0", [](auto& o) { o.sparsity = "0.5", o.format = "gguf"; });
}

}  // namespace
}  // namespace teeny
