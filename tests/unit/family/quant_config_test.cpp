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
  wrong(R"({"quant_method":"bitsandbytes","load_in_4bit":true})", "only 8-bit");
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
  wrong(R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":{"weights":{"num_bits":4,"strategy":"tensor"}}}})", "the strategy \"tensor\"");
  wrong(R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":{"weights":{"num_bits":4,"strategy":"group"}}}})", "disagree");
  wrong(R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":{"weights":{"num_bits":4,"type":"float"}}}})", "the type \"float\"");
  wrong(R"({"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"g":{"weights":{"num_bits":4}},"h":{"weights":{"num_bits":8}}}})", "mixed schemes");
  wrong(R"({"quant_method":"fp8"})", "quant_method \"fp8\" is not supported; known: gptq, awq, bitsandbytes, compressed-tensors");
  wrong(R"({"bits":4})", "quant_method \"\" is not supported");
  wrong("[]", "is not a JSON object");
  EXPECT_EQ(read("null").method, "");
}

TEST(QuantConfig, FilesBesideTheWeights) {
  TempDir dir;
  FakeSource source(ContainerKind::Safetensors, dir.path());
  EXPECT_EQ(read_quant_config(source).method, "");
  dir.write("quant_config.json", R"({"w_bit":4,"q_group_size":128,"zero_point":true,"version":"GEMM"})");
  EXPECT_EQ(read_quant_config(source).method, "awq");
  EXPECT_EQ(read_quant_config(source).group, 128);
  dir.write("quantize_config.json", R"({"bits":4,"group_size":32,"desc_act":false,"sym":true})");
  EXPECT_EQ(read_quant_config(source).method, "gptq");
  dir.write("quantize_config.json", "nonsense");
  expect_error(ErrorKind::Input, "quantize_config.json", [&] { read_quant_config(source); });
  FakeSource gguf(ContainerKind::Gguf, "x.gguf");
  EXPECT_EQ(read_quant_config(gguf).method, "gguf");
}

}  // namespace
}  // namespace teeny
