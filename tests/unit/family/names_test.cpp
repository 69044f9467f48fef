// Names in both directions, the row order of rotary halves, GGUF keys back into a spec.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <tuple>

#include "container_files.h"
#include "fake_source.h"
#include "teeny/containers/sink.h"
#include "teeny/family/names.h"

namespace teeny {
namespace {
using test::expect_error;
using test::FakeSource;
using test::TempDir;

TEST(Names, BothWays) {
  for (const auto& [canonical, gguf] : std::vector<std::pair<std::string, std::string>>{
           {"model.embed_tokens.weight", "token_embd.weight"},
           {"model.norm.weight", "output_norm.weight"},
           {"lm_head.weight", "output.weight"},
           {"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight"},
           {"model.layers.31.self_attn.q_proj.weight", "blk.31.attn_q.weight"},
           {"model.layers.31.self_attn.k_proj.bias", "blk.31.attn_k.bias"},
           {"model.layers.1.self_attn.v_proj.bias", "blk.1.attn_v.bias"},
           {"model.layers.1.self_attn.o_proj.weight", "blk.1.attn_output.weight"},
           {"model.layers.2.self_attn.q_norm.weight", "blk.2.attn_q_norm.weight"},
           {"model.layers.2.self_attn.k_norm.weight", "blk.2.attn_k_norm.weight"},
           {"model.layers.1023.post_attention_layernorm.weight", "blk.1023.ffn_norm.weight"},
           {"model.layers.3.mlp.gate_proj.weight", "blk.3.ffn_gate.weight"},
           {"model.layers.3.mlp.up_proj.bias", "blk.3.ffn_up.bias"},
           {"model.layers.3.mlp.down_proj.weight", "blk.3.ffn_down.weight"}}) {
    EXPECT_EQ(to_gguf_name(canonical), gguf);
    EXPECT_EQ(from_gguf_name(gguf), canonical);
  }
  for (const char* unknown : {"", "model.layers.0", "model.layers..mlp.up_proj.weight", "model.layers.00.mlp.up_proj.weight", "model.layers.x.mlp.up_proj.weight",
                              "model.layers.0.mlp.up_proj.scales", "model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.12345.mlp.up_proj.weight",
                              "model.layers.0.weight", "model.layers.-1.mlp.up_proj.weight", "blk.0.ffn_up.weight"})
    EXPECT_EQ(to_gguf_name(unknown), std::nullopt) << unknown;
  EXPECT_EQ(from_gguf_name("rope_freqs.weight"), std::nullopt);
  EXPECT_EQ(from_gguf_name("blk.0.attn_qkv.weight"), std::nullopt);
}

ModelSpec small_spec(const char* family, const char* arch, bool permuted) {
  ModelSpec spec;
  spec.family = family;
  spec.gguf_arch = arch;
  spec.name = "small";
  spec.hidden = 24, spec.layers = 2, spec.heads = 4, spec.kv_heads = 2, spec.head_dim = 6, spec.intermediate = 32, spec.vocab = 10, spec.context = 128;
  spec.permuted_qk = permuted;
  spec.rms_eps = 1e-5;
  spec.rope_theta = 500000;
  return spec;
}

TEST(Names, RowOrder) {
  const ModelSpec llama = small_spec("llama", "llama", true);
  // Halves [0 1 2 | 3 4 5] of a head become pairs [0 3 1 4 2 5].
  EXPECT_EQ(gguf_row_order(llama, "self_attn.k_proj"), (std::vector<int64_t>{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11}));
  EXPECT_EQ(gguf_row_order(llama, "self_attn.q_proj").size(), 24u);
  EXPECT_TRUE(gguf_row_order(llama, "self_attn.v_proj").empty());
  EXPECT_TRUE(gguf_row_order(small_spec("qwen2", "qwen2", false), "self_attn.q_proj").empty());
}

// A GGUF file with this spec's keys and its tensors (of zeros).
std::string write_model(const TempDir& dir, const ModelSpec& spec, const GgufMetadata& extra = {}) {
  GgufMetadata metadata;
  write_gguf_model_keys(spec, metadata);
  for (const auto& [key, value] : extra.entries()) metadata.set(key, value);
  std::vector<TensorSpec> tensors = {{"token_embd.weight", DType::F16, {spec.vocab, spec.hidden}}};
  if (!spec.tied) tensors.push_back({"output.weight", DType::F16, {spec.vocab, spec.hidden}});
  if (spec.qkv_bias) tensors.push_back({"blk.0.attn_q.bias", DType::F32, {spec.heads * spec.head_dim}});
  if (!spec.rope_freq_factors.empty()) tensors.push_back({"rope_freqs.weight", DType::F32, {spec.head_dim / 2}});
  auto sink = create_gguf_sink(dir.path("m.gguf"), metadata, tensors);
  for (const auto& tensor : tensors) {
    std::vector<std::byte> bytes(tensor.bytes());
    if (tensor.name == "rope_freqs.weight") std::memcpy(bytes.data(), spec.rope_freq_factors.data(), bytes.size());
    sink->put(tensor.name, bytes);
  }
  sink->finish();
  return dir.path("m.gguf");
}

TEST(GgufSpec, KeysAndBack) {
  TempDir dir;
  for (const auto& [family, arch] : {std::pair{"llama", "llama"}, {"qwen2", "qwen2"}, {"qwen3", "qwen3"}}) {
    ModelSpec spec = small_spec(family, arch, std::string(arch) == "llama");
    spec.tied = spec.qkv_bias = std::string(family) == "qwen2";
    if (std::string(family) == "qwen3") spec.head_dim = 16;
    spec.qk_norm = std::string(family) == "qwen3";
    const auto source = open_source(write_model(dir, spec));
    const ModelSpec read = read_spec(*source);
    EXPECT_EQ(read.family, family);
    EXPECT_EQ(read.name, "small");
    EXPECT_EQ(std::tie(read.hidden, read.layers, read.heads, read.kv_heads, read.head_dim, read.intermediate, read.vocab, read.context),
              std::tie(spec.hidden, spec.layers, spec.heads, spec.kv_heads, spec.head_dim, spec.intermediate, spec.vocab, spec.context));
    EXPECT_EQ(float(read.rms_eps), 1e-5f);
    EXPECT_EQ(read.rope_theta, 500000);
    EXPECT_EQ(std::tie(read.tied, read.qkv_bias, read.qk_norm, read.permuted_qk), std::tie(spec.tied, spec.qkv_bias, spec.qk_norm, spec.permuted_qk));
    EXPECT_EQ(read.dtype, "float16");
    EXPECT_EQ(source->gguf()->find(std::string(arch) + ".block_count")->type, 4u);       // u32
    EXPECT_EQ(source->gguf()->find(std::string(arch) + ".rope.freq_base")->type, 6u);    // f32
  }
}

TEST(GgufSpec, RopeFactors) {
  TempDir dir;
  ModelSpec spec = small_spec("llama", "llama", true);
  spec.head_dim = 64, spec.heads = spec.kv_heads = 1;
  // Those of Llama 3.2: recognised, so that config.json can name them.
  FakeSource hf(ContainerKind::Safetensors, "/nonexistent/x");
  spec.rope = {"llama3", 32, 1, 4, 8192};
  spec.hf_class = "LlamaForCausalLM";
  hf.set_config(hf_config_from_spec(spec));
  spec.rope_freq_factors = read_spec(hf).rope_freq_factors;
  ModelSpec read = read_spec(*open_source(write_model(dir, spec)));
  EXPECT_EQ(read.rope.type, "llama3");
  EXPECT_EQ(read.rope.factor, 32);
  EXPECT_EQ(read.rope_freq_factors, spec.rope_freq_factors);
  spec.rope_freq_factors[3] = 1.5;
  read = read_spec(*open_source(write_model(dir, spec)));
  EXPECT_EQ(read.rope.type, "factors");
  EXPECT_EQ(read.rope_freq_factors[3], 1.5);
  expect_error(ErrorKind::Input, "fits no scaling", [&] { hf_config_from_spec(read); });
  spec.rope_freq_factors[3] = std::nanf("");
  expect_error(ErrorKind::Input, "rope_freqs.weight holds nan", [&] { read_spec(*open_source(write_model(dir, spec))); });
  spec.rope_freq_factors.clear();
  spec.rope = {"linear", 4, 1, 4, 8192};
  read = read_spec(*open_source(write_model(dir, spec)));
  EXPECT_EQ(read.rope.type, "linear");
  EXPECT_EQ(read.rope.factor, 4);
}

TEST(GgufSpec, Refused) {
  TempDir dir;
  const ModelSpec spec = small_spec("llama", "llama", true);
  const auto wrong = [&](const char* part, auto change) {
    SCOPED_TRACE(part);
    GgufMetadata extra;
    change(extra);
    expect_error(ErrorKind::Input, part, [&] { read_spec(*open_source(write_model(dir, spec, extra))); });
  };
  wrong("holds a \"imatrix\"", [](auto& m) { m.set_string("general.type", "imatrix"); });
  wrong("the architecture \"gemma\" is not supported; known: llama, qwen2, qwen3", [](auto& m) { m.set_string("general.architecture", "gemma"); });
  wrong("llama.block_count is 0", [](auto& m) { m.set_u32("llama.block_count", 0); });
  wrong("llama.block_count is 1025", [](auto& m) { m.set_u32("llama.block_count", 1025); });
  wrong("llama.block_count: has the type string", [](auto& m) { m.set_string("llama.block_count", "2"); });
  wrong("llama.feed_forward_length: has the type an array", [](auto& m) { m.set_i32s("llama.feed_forward_length", {32, 32}); });
  wrong("llama.embedding_length is 4294967295", [](auto& m) { m.set_u32("llama.embedding_length", 4294967295u); });
  wrong("must have rows of 48 numbers", [](auto& m) { m.set_u32("llama.embedding_length", 48); });
  wrong("4 attention heads are no multiple of 3", [](auto& m) { m.set_u32("llama.attention.head_count_kv", 3); });
  wrong("24 is no multiple of 5 heads", [](auto& m) { m.set_u32("llama.attention.head_count", 5); });
  wrong("value_length differs", [](auto& m) { m.set_u32("llama.attention.value_length", 8); });
  wrong("llama.rope.dimension_count is 4", [](auto& m) { m.set_u32("llama.rope.dimension_count", 4); });
  wrong("RMS norm epsilon is -1", [](auto& m) { m.set_f32("llama.attention.layer_norm_rms_epsilon", -1); });
  wrong("llama.attention.layer_norm_rms_epsilon is nan", [](auto& m) { m.set_f32("llama.attention.layer_norm_rms_epsilon", std::nanf("")); });
  wrong("rope_theta is 0", [](auto& m) { m.set_f32("llama.rope.freq_base", 0); });
  wrong("llama.rope.scaling.type is \"yarn\"", [](auto& m) { m.set_string("llama.rope.scaling.type", "yarn"); });
  wrong("mixtures of experts", [](auto& m) { m.set_u32("llama.expert_count", 8); });
  wrong("tokenizer.ggml.tokens has 3 entries, token_embd.weight has 10 rows", [](auto& m) { m.set_strings("tokenizer.ggml.tokens", {"a", "b", "c"}); });
  wrong("end token id 10 is outside the vocabulary", [](auto& m) { m.set_u32("tokenizer.ggml.eos_token_id", 10); });
  FakeSource none(ContainerKind::Gguf, "x.gguf");
  expect_error(ErrorKind::Input, "general.architecture is absent", [&] { read_spec(none); });
  none.metadata().set_string("general.architecture", "qwen2");
  expect_error(ErrorKind::Input, "the key qwen2.embedding_length is absent", [&] { read_spec(none); });
}

TEST(GgufSpec, EndTokensByText) {
  TempDir dir;
  const ModelSpec spec = small_spec("qwen2", "qwen2", false);
  GgufMetadata extra;
  extra.set_strings("tokenizer.ggml.tokens", {"a", "b", "c", "d", "e", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "[PAD9]"});
  extra.set_i32s("tokenizer.ggml.token_type", {1, 1, 1, 1, 1, 3, 3, 3, 1, 5});
  extra.set_u32("tokenizer.ggml.eos_token_id", 7);
  extra.set_u32("tokenizer.ggml.padding_token_id", 5);
  const ModelSpec read = read_spec(*open_source(write_model(dir, spec, extra)));
  EXPECT_EQ(read.eos, (std::vector<int64_t>{7, 5}));
  EXPECT_EQ(read.pad, 5);
  EXPECT_EQ(read.bos, -1);
}

}  // namespace
}  // namespace teeny
