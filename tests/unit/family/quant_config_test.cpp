// quantization_config of every method, in each of its three files.
#include <gtest/gtest.h>

#include "container_files.h"
#include "fake_source.h"
#include "teeny/family/spec.h"

namespace teeny {
namespace {
using test::expect_error;
using test::FakeSource;
using test::TempDir;

QuantConfig read(const char* quantization) {
  FakeSource source(ContainerKind::Safetensors, "/nonexistent/model.safetensors");
  source.set_config({{"quantization_config", Json::parse(quantization)}});
  return read_quant_config(source);
}
void wrong(const char* quantization, const char* part) {
  SCOPED_TRACE(quantization);
  expect_error(ErrorKind::Input, part, [&] { read(quantization); });
}

TEST(QuantConfig, Gptq) {
  const auto config = read(R"({"quant_method":"gptq","bits":4,"group_size":128,"desc_act":true,"sym":false,"checkpoint_format":"gptq_v2"})");
  EXPECT_EQ(config.method, "gptq");
  EXPECT_EQ(config.bits, 4);
  EXPECT_EQ(config.group, 128);
  EXPECT_TRUE(config.desc_act && !config.symmetric);
  EXPECT_EQ(config.format, "gptq_v2");
  EXPECT_EQ(config.raw["bits"], 4);
  const auto old = read(R"({"quant_method":"gptq","bits":3,"group_size":-1})");
  EXPECT_TRUE(old.symmetric && !old.desc_act);
  EXPECT_EQ(old.format, "gptq");
  EXPECT_EQ(old.group, -1);
  wrong(R"({"quant_method":"gptq","bits":5})", "\"bits\" is 5, expected one of 2, 3, 4, 8");
  wrong(R"({"quant_method":"gptq"})", "\"bits\" is absent");
  wrong(R"({"quant_method":"gptq","bits":"4"})", "\"bits\" is");
  wrong(R"({"quant_method":"gptq","bits":4,"group_size":0})", "\"group_size\" is 0");
  wrong(R"({"quant_method":"gptq","bits":4,"group_size":-2})", "\"group_size\" is -2");
  wrong(R"({"quant_method":"gptq","bits":4,"format":"marlin"})", "checkpoint format \"marlin\"");
  wrong(R"({"quant_method":"gptq","bits":4,"sym":1})", "\"sym\" is 1, expected true or false");
}

TEST(QuantConfig, OtherMethods) {
  const auto awq = read(R"({"quant_method":"awq","bits":4,"group_size":64,"zero_point":true,"version":"GEMM"})");
  EXPECT_EQ(awq.method, "awq");
  EXPECT_EQ(awq.format, "gemm");
  EXPECT_EQ(awq.group, 64);
  EXPECT_FALSE(awq.symmetric);
  wrong(R"({"quant_method":"awq","bits":4,"version":"gemv"})", "AWQ version \"gemv\"");
  wrong(R"({"quant_method":"awq","bits":8})", "expected one of 4");
  const auto int8 = read(R"({"quant_method":"bitsandbytes","load_in_8bit":true,"llm_int8_threshold":6.0})");
  EXPECT_EQ(int8.bits, 8);
  EXPECT_EQ(int8.format, "int8");
  const auto four = read(R"({"quant_method":"bitsandbytes","load_in_4bit":true,"bnb_4bit_quant_type":"nf4"})");
  EXPECT_EQ(four.bits, 4);
  EXPECT_EQ(four.format, "nf4");
  wrong(R"({"quant_method":"bitsandbytes","load_in_4bit":true,"bnb_4bit_quant_type":"nf5"})", "4-bit type \"nf5\"");
  wrong(R"({"quant_method":"bitsandbytes"})", "neither load_in_8bit nor load_in_4bit");
  const auto packed = read(R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"group_0":{"targets":["Linear"],
    "weights":{"num_bits":4,"type":"int","symmetric":false,"strategy":"group","group_size":128,"actorder":null}}}})");
  EXPECT_EQ(packed.group, 128);
  EXPECT_FALSE(packed.symmetric || packed.desc_act);
  const auto channel = read(R"({"quant_method":"compressed-tensors","format":"int-quantized","config_groups":{"group_0":{
    "weights":{"num_bits":8,"symmetric":true,"strategy":"channel","group_size":null}}}})");
  EXPECT_EQ(channel.bits, 8);
  EXPECT_EQ(channel.group, -1);
  wrong(R"({"quant_method":"compressed-tensors","format":"float-quantized"})", "the format \"float-quantized\"");
  wrong(R"({"quant_method":"compressed-tensors","format":"pack-quantized"})", "\"config_groups\" is absent");
  wrong(R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":{}}})", "config_groups.g.weights: is absent");
  wrong(R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":{"weights":{"num_bits":4,"strategy":"block"}}}})", "the strategy \"block\"");
  wrong(R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":{"weights":{"num_bits":4,"strategy":"group"}}}})", "disagree");
  wrong(R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":{"weights":{"num_bits":4,"type":"float"}}}})", "the type \"float\"");
  wrong(R"({"quant_method":"compressed-tensors","format":"pack-quantized","transform_config":{"config_groups":{}},"config_groups":{"g":{"weights":{"num_bits":4}}}})", "stored rotated");
  wrong(R"({"quant_method":"compressed-tensors","format":"pack-quantized","sparsity_config":{"format":"sparse-24-bitmask"},"config_groups":{"g":{"weights":{"num_bits":4}}}})", "sparse format");
  wrong(R"({"quant_method":"compressed-tensors","format":"int-quantized","config_groups":{"g":{"weights":{"num_bits":8},"input_activations":{"num_bits":4}}}})", "expected one of 8");
  wrong(R"({"quant_method":"compressed-tensors","format":"int-quantized","config_groups":{"g":{"weights":{"num_bits":8},"input_activations":{"num_bits":8,"dynamic":true,"strategy":"tensor"}}}})",
        "the strategy \"tensor\" of dynamic activations");
  wrong(R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":{"targets":"Linear","weights":{"num_bits":4}}}})", "\"targets\" is no list");
  wrong(R"({"quant_method":"fp8"})", "quant_method \"fp8\" is not supported; known: gptq, awq, bitsandbytes, compressed-tensors");
  wrong(R"({"bits":4})", "quant_method \"\" is not supported");
  wrong("[]", "is not a JSON object");
  EXPECT_EQ(read("null").method, "");
}

// What llm-compressor and the package itself write: several groups, formats per group, activations.
TEST(QuantConfig, CompressedTensorsGroups) {
  const auto config = read(R"({"quant_method":"compressed-tensors","format":"mixed-precision","quantization_status":"compressed","ignore":["lm_head","re:.*layers\\.0\\..*"],"kv_cache_scheme":null,
    "sparsity_config":{},"transform_config":{},"config_groups":{
    "group_0":{"targets":["re:.*down_proj"],"format":"int-quantized","weights":{"num_bits":8,"type":"int","symmetric":true,"strategy":"channel","group_size":null,"observer":"minmax"},
               "input_activations":{"num_bits":8,"type":"int","symmetric":true,"strategy":"token","dynamic":true}},
    "group_1":{"targets":["Linear"],"format":"pack-quantized","weights":{"num_bits":4,"type":"int","symmetric":false,"strategy":"group","group_size":64,"actorder":"group"}}}})");
  ASSERT_EQ(config.schemes.size(), 2u);
  EXPECT_EQ(config.act_bits, 8);
  const auto down = scheme_of(config, "model.layers.3.mlp.down_proj"), up = scheme_of(config, "model.layers.3.mlp.up_proj");
  ASSERT_TRUE(down && up);
  EXPECT_EQ(down->format, "int-quantized");
  EXPECT_EQ(down->act_bits, 8);
  EXPECT_EQ(up->bits, 4);
  EXPECT_EQ(up->group, 64);
  EXPECT_TRUE(up->desc_act && !up->symmetric && up->act_bits == 16);
  EXPECT_FALSE(scheme_of(config, "lm_head"));
  EXPECT_FALSE(scheme_of(config, "model.layers.0.mlp.up_proj"));
  EXPECT_FALSE(scheme_of(config, "model.embed_tokens"));
}

TEST(QuantConfig, PatternsTakePolynomialTime) {
  auto config = read(R"({"quant_method":"gptq","bits":4,"dynamic":{"(a*)*(a|b)*c":{"bits":8}}})");
  EXPECT_EQ(scheme_of(config, std::string(200, 'a') + "d")->bits, 4);
  config = read(R"({"quant_method":"gptq","bits":4,"group_size":128,"dynamic":{"-:.*o_proj":{},"+:.*\\.up_proj$":{"bits":8,"group_size":32},".*up":{"bits":2}}})");
  EXPECT_FALSE(scheme_of(config, "model.layers.1.self_attn.o_proj"));
  EXPECT_EQ(scheme_of(config, "model.layers.1.mlp.up_proj")->bits, 8);  // the first rule that matches
  EXPECT_EQ(scheme_of(config, "model.layers.1.mlp.up_proj")->group, 32);
  EXPECT_EQ(scheme_of(config, "model.layers.1.mlp.up_projection")->bits, 2);
  EXPECT_EQ(scheme_of(config, "model.layers.1.mlp.gate_proj")->bits, 4);
}

TEST(QuantConfig, FilesBesideTheWeights) {
  TempDir dir;
  FakeSource source(ContainerKind::Safetensors, dir.path());
  EXPECT_EQ(read_quant_config(source).method, "");
  dir.write("quant_config.json", R"({"w_bit":4,"q_group_size":128,"zero_point":true,"version":"GEMM"})");
  EXPECT_EQ(read_quant_config(source).method, "awq");
  EXPECT_EQ(read_quant_config(source).group, 128);
  dir.write("quantize_config.json", R"({"w_bit":4,"q_group_size":64,"zero_point":true,"version":"GEMM"})");  // AutoAWQ under GPTQ's name
  EXPECT_EQ(read_quant_config(source).method, "awq");
  EXPECT_EQ(read_quant_config(source).group, 64);
  dir.write("quantize_config.json", R"({"bits":4,"group_size":32,"desc_act":false,"sym":true,"is_marlin_format":true})");
  expect_error(ErrorKind::Input, "Marlin", [&] { read_quant_config(source); });
  dir.write("quantize_config.json", R"({"bits":4,"group_size":32,"desc_act":false,"sym":true})");
  EXPECT_EQ(read_quant_config(source).method, "gptq");
  dir.write("quantize_config.json", "nonsense");
  expect_error(ErrorKind::Input, "quantize_config.json", [&] { read_quant_config(source); });
  FakeSource gguf(ContainerKind::Gguf, "x.gguf");
  EXPECT_EQ(read_quant_config(gguf).method, "gguf");
}

}  // namespace
}  // namespace teeny
