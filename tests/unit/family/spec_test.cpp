// config.json -> ModelSpec: the families, both places of rope parameters, and every way to get a value wrong.
#include <gtest/gtest.h>

#include "container_files.h"
#include "fake_source.h"
#include "teeny/family/names.h"
#include "teeny/family/spec.h"

namespace teeny {
namespace {
using test::expect_error;
using test::FakeSource;
using test::TempDir;

std::string demo_path() { return std::string(TEENY_TEST_SOURCE_DIR) + "/configs/models/teeny-demo-7m"; }

Json llama_config() {
  return Json::parse(R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,
    "num_key_value_heads":2,"intermediate_size":96,"vocab_size":100,"max_position_embeddings":512,"rms_norm_eps":1e-5,"rope_theta":500000.0,
    "tie_word_embeddings":false,"torch_dtype":"float16","eos_token_id":[2,3],"bos_token_id":1,"auto_map":{"AutoModel":"evil.py"}})");
}

ModelSpec spec_of(Json config) {
  FakeSource source(ContainerKind::Safetensors, "/nonexistent/model");
  source.set_config(std::move(config));
  return read_spec(source);
}
ModelSpec spec_with(const char* key, Json value) {
  Json config = llama_config();
  config[key] = std::move(value);
  return spec_of(std::move(config));
}

TEST(Spec, ShippedModel) {
  const auto source = open_source(demo_path());
  const ModelSpec spec = read_spec(*source);
  EXPECT_EQ(spec.family, "qwen2");
  EXPECT_EQ(spec.name, "teeny-demo-7m");
  EXPECT_EQ(spec.head_dim, 64);
  EXPECT_EQ(spec.kv_heads, 2);
  EXPECT_EQ(spec.rope_theta, 10000);
  EXPECT_TRUE(spec.tied && spec.qkv_bias && !spec.o_bias && !spec.mlp_bias && !spec.qk_norm && !spec.permuted_qk);
  EXPECT_EQ(spec.eos, (std::vector<int64_t>{4095, 4093}));  // config.json's, then what generation_config.json adds
  EXPECT_EQ(spec.bos, 4093);
  EXPECT_EQ(spec.dtype, "bfloat16");
  int64_t elements = 0;
  for (const auto& tensor : source->tensors()) elements += tensor.elements();
  EXPECT_EQ(spec.parameters(), elements);
  for (int64_t layer = 0; layer < spec.layers; ++layer)
    for (const auto& slot : kLinears) {
      const auto [n, k] = linear_shape(spec, slot.module);
      EXPECT_EQ(source->at(layer_prefix(layer) + slot.module + ".weight").shape, (std::vector<int64_t>{n, k})) << slot.module;
    }
  EXPECT_THROW(linear_shape(spec, "mlp.fc"), Error);
}

TEST(Spec, Llama) {
  const ModelSpec spec = spec_of(llama_config());
  EXPECT_EQ(spec.gguf_arch, "llama");
  EXPECT_TRUE(spec.permuted_qk);
  EXPECT_FALSE(spec.qkv_bias || spec.tied);
  EXPECT_EQ(spec.head_dim, 16);
  EXPECT_EQ(spec.rope_theta, 500000);
  EXPECT_EQ(spec.eos, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(spec.pad, -1);
  EXPECT_EQ(spec.parameters(), 2 * 100 * 64 + 64 + 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 96 + 2 * 64));
  Json config = llama_config();
  config["attention_bias"] = config["mlp_bias"] = true;
  config["head_dim"] = 32;
  config.erase("num_key_value_heads");
  const ModelSpec biased = spec_of(config);
  EXPECT_TRUE(biased.qkv_bias && biased.o_bias && biased.mlp_bias);
  EXPECT_EQ(biased.kv_heads, 4);
  EXPECT_EQ(linear_shape(biased, "self_attn.o_proj"), (std::pair<int64_t, int64_t>(64, 128)));
  EXPECT_EQ(biased.parameters(), 2 * 100 * 64 + 64 + 2 * (4 * 64 * 128 + 3 * 128 + 64 + 3 * 64 * 96 + 2 * 96 + 64 + 2 * 64));
}

TEST(Spec, MistralQwen) {
  Json config = llama_config();
  config["model_type"] = "mistral";
  config["architectures"] = Json::array({"MistralForCausalLM"});
  config["sliding_window"] = 256;
  config["head_dim"] = nullptr;
  EXPECT_EQ(spec_of(config).context, 256);  // inside the window sliding attention is full attention
  config["sliding_window"] = nullptr;
  EXPECT_EQ(spec_of(config).context, 512);
  config["model_type"] = "qwen3";
  config["architectures"] = Json::array({"Qwen3ForCausalLM"});
  config.erase("head_dim");
  const ModelSpec qwen3 = spec_of(config);
  EXPECT_TRUE(qwen3.qk_norm && !qwen3.qkv_bias);
  EXPECT_EQ(qwen3.head_dim, 128);
  config["use_sliding_window"] = true;
  expect_error(ErrorKind::Input, "use_sliding_window is on", [&] { spec_of(config); });
  config["use_sliding_window"] = false;
  config["layer_types"] = {"full_attention", "sliding_attention"};
  expect_error(ErrorKind::Input, "a layer type is not full_attention", [&] { spec_of(config); });
  config.erase("layer_types");
  config.erase("num_key_value_heads");
  expect_error(ErrorKind::Input, "\"num_key_value_heads\" is absent", [&] { spec_of(config); });
}

TEST(Spec, Family) {
  expect_error(ErrorKind::Input, "model_type \"gpt2\" is not supported; known: llama", [] { spec_with("model_type", "gpt2"); });
  expect_error(ErrorKind::Input, "expected \"LlamaForCausalLM\"", [] { spec_with("architectures", {"LlamaForSequenceClassification"}); });
  expect_error(ErrorKind::Input, "\"model_type\" is 3, expected a string", [] { spec_with("model_type", 3); });
  Json config = llama_config();
  config.erase("model_type");
  EXPECT_EQ(spec_of(config).family, "llama");
  config["architectures"] = {"GPT2LMHeadModel"};
  expect_error(ErrorKind::Input, "architecture \"GPT2LMHeadModel\" is not supported", [&] { spec_of(config); });
  config.erase("architectures");
  expect_error(ErrorKind::Input, "no model_type is not supported", [&] { spec_of(config); });
  FakeSource none(ContainerKind::Safetensors, "/nonexistent/model.safetensors");
  expect_error(ErrorKind::Input, "has no config.json beside it", [&] { read_spec(none); });
  EXPECT_EQ(known_families(), (std::vector<std::string>{"llama", "mistral", "qwen2", "qwen3"}));
}

TEST(Spec, EverySizeIsChecked) {
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size", "vocab_size", "max_position_embeddings"}) {
    const auto named = fmt::format("\"{}\" is ", key);
    for (const Json& value : {Json(0), Json(-1), Json(1ull << 31), Json(1ull << 63), Json(64.5), Json("64"), Json(nullptr), Json(true), Json::array({64}), Json(64.0)}) {
      SCOPED_TRACE(key + value.dump());
      expect_error(ErrorKind::Input, named, [&] { spec_with(key, value); });
    }
    if (std::string_view(key) == "num_key_value_heads") continue;  // llama: as many as heads when absent
    Json config = llama_config();
    config.erase(key);
    expect_error(ErrorKind::Input, fmt::format("\"{}\" is absent", key), [&] { spec_of(config); });
  }
  expect_error(ErrorKind::Input, "expected a whole number from 1 to 1024", [] { spec_with("num_hidden_layers", 1025); });
  expect_error(ErrorKind::Input, "64 is no multiple of 5 attention heads", [] { spec_with("num_attention_heads", 5); });
  expect_error(ErrorKind::Input, "4 attention heads are no multiple of 3", [] { spec_with("num_key_value_heads", 3); });
  expect_error(ErrorKind::Input, "head dimension 15 is odd", [] { spec_with("head_dim", 15); });
  expect_error(ErrorKind::Input, "\"head_dim\" is 0", [] { spec_with("head_dim", 0); });
}

TEST(Spec, NumbersAndSwitches) {
  const auto wrong = [](const char* key, Json value, const char* part) {
    SCOPED_TRACE(key);
    expect_error(ErrorKind::Input, part, [&] { spec_with(key, value); });
  };
  wrong("rms_norm_eps", 0, "RMS norm epsilon is 0");
  wrong("rms_norm_eps", -1e-5, "RMS norm epsilon is -1e-05");
  wrong("rms_norm_eps", "1e-5", "\"rms_norm_eps\" is \\\"1e-5\\\", expected a number");
  wrong("rms_norm_eps", std::numeric_limits<double>::infinity(), "expected a number");
  wrong("rope_theta", 0, "rope_theta is 0");
  wrong("rope_theta", 1e300, "rope_theta is 1e+300");
  wrong("rope_theta", Json::array(), "\"rope_theta\" is [], expected a number");
  wrong("tie_word_embeddings", 1, "\"tie_word_embeddings\" is 1, expected true or false");
  wrong("attention_bias", "yes", "expected true or false");
  wrong("hidden_act", "gelu", "hidden_act \"gelu\" is not supported");
  wrong("torch_dtype", "int4", "dtype \"int4\" is not supported");
  wrong("eos_token_id", 100, "end token id 100 is outside the vocabulary of 100");
  wrong("eos_token_id", -2, "end token id -2 is outside");
  wrong("eos_token_id", {1, "2"}, "\"eos_token_id\" holds");
  wrong("eos_token_id", 1.5, "\"eos_token_id\" is 1.5");
  wrong("eos_token_id", 1ull << 63, "expected a number below 2^63");
  wrong("partial_rotary_factor", 0.5, "partial_rotary_factor is not supported");
  EXPECT_EQ(spec_with("eos_token_id", nullptr).eos.size(), 0u);
  EXPECT_EQ(spec_with("eos_token_id", 7).eos, std::vector<int64_t>{7});
  EXPECT_EQ(spec_with("pad_token_id", -1).pad, -1);
  EXPECT_EQ(spec_with("torch_dtype", nullptr).dtype, "bfloat16");
}

TEST(Spec, Rope) {
  // The numbers of Llama 3.2 1B; expected factors from the formula of transformers (_compute_llama3_parameters), in numpy.
  Json config = llama_config();
  config["head_dim"] = 64;
  config["rope_scaling"] = {{"rope_type", "llama3"}, {"factor", 32.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 8192}};
  const ModelSpec spec = spec_of(config);
  EXPECT_EQ(spec.rope.type, "llama3");
  ASSERT_EQ(spec.rope_freq_factors.size(), 32u);
  EXPECT_EQ(spec.rope_freq_factors[0], 1);
  EXPECT_EQ(spec.rope_freq_factors[14], 1);
  EXPECT_NEAR(spec.rope_freq_factors[15], 1.6513292, 1e-5);
  EXPECT_NEAR(spec.rope_freq_factors[16], 3.2922626, 1e-5);
  EXPECT_NEAR(spec.rope_freq_factors[17], 9.6667299, 1e-5);
  EXPECT_EQ(spec.rope_freq_factors[18], 32);
  EXPECT_EQ(spec.rope_freq_factors[31], 32);
  const auto wrong = [&](const char* key, Json value, const char* part) {
    Json bad = config;
    bad["rope_scaling"][key] = value;
    expect_error(ErrorKind::Input, part, [&] { spec_of(bad); });
  };
  wrong("factor", 0, "rope scaling factor is 0");
  wrong("factor", nullptr, "\"factor\" is absent, llama3 scaling needs it");
  wrong("high_freq_factor", 0.5, "must satisfy 0 < low < high");
  wrong("original_max_position_embeddings", 0, "\"original_max_position_embeddings\" is 0");
  wrong("rope_type", "yarn", "the rope scaling \"yarn\" is not supported; known: default, linear, llama3");
  wrong("rope_type", 3, "\"rope_type\" is 3");
  config["rope_scaling"] = {{"type", "linear"}, {"factor", 2}};
  EXPECT_EQ(spec_of(config).rope.factor, 2);
  EXPECT_TRUE(spec_of(config).rope_freq_factors.empty());
  config["rope_scaling"] = nullptr;
  config["rope_parameters"] = {{"rope_theta", 1234}, {"rope_type", "default"}};
  EXPECT_EQ(spec_of(config).rope_theta, 1234);
  config["rope_parameters"] = "x";
  expect_error(ErrorKind::Input, "\"rope_parameters\" is no object", [&] { spec_of(config); });
}

TEST(Spec, ConfigFromSpecAndBack) {
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3"}) {
    Json config = llama_config();
    const std::string hf_class = std::string(family) == "qwen2" ? "Qwen2ForCausalLM" : std::string(family) == "qwen3" ? "Qwen3ForCausalLM" : std::string(family) == "mistral" ? "MistralForCausalLM" : "LlamaForCausalLM";
    config["model_type"] = family;
    config["architectures"] = Json::array({hf_class});
    config["rope_scaling"] = {{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 1}, {"high_freq_factor", 4}, {"original_max_position_embeddings", 64}};
    const ModelSpec first = spec_of(config), second = spec_of(hf_config_from_spec(first));
    EXPECT_EQ(hf_config_from_spec(second), hf_config_from_spec(first));
    EXPECT_EQ(second.parameters(), first.parameters());
    EXPECT_EQ(second.rope_freq_factors, first.rope_freq_factors);
    EXPECT_EQ(second.eos, first.eos);
    EXPECT_EQ(second.qkv_bias, first.qkv_bias);
  }
}

}  // namespace
}  // namespace teeny
