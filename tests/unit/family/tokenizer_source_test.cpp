// The shipped model's tokenizer through GGUF and back; vocabularies that are wrong; where chat templates come from.
#include <gtest/gtest.h>

#include "container_files.h"
#include "fake_source.h"
#include "teeny/containers/sink.h"
#include "teeny/family/names.h"
#include "teeny/family/tokenizer_source.h"

namespace teeny {
namespace {
using test::expect_error;
using test::FakeSource;
using test::TempDir;

std::string demo_path() { return std::string(TEENY_TEST_SOURCE_DIR) + "/configs/models/teeny-demo-7m"; }

// The vocabulary of `source` in a GGUF file that holds nothing else of use but an embedding.
std::unique_ptr<TensorSource> through_gguf(const TempDir& dir, const TensorSource& source, ModelSpec spec) {
  GgufMetadata metadata;
  write_gguf_model_keys(spec, metadata);
  write_gguf_vocabulary(source, spec, metadata);
  auto sink = create_gguf_sink(dir.path("v.gguf"), metadata, {{"token_embd.weight", DType::F16, {spec.vocab, spec.hidden}}});
  sink->put("token_embd.weight", std::vector<std::byte>(size_t(spec.vocab * spec.hidden * 2)));
  sink->finish();
  return open_source(dir.path("v.gguf"));
}

TEST(TokenizerSource, ShippedModelThroughGguf) {
  TempDir dir;
  const auto source = open_source(demo_path());
  const ModelSpec spec = read_spec(*source);
  const auto tokenizer = load_tokenizer(*source);
  EXPECT_EQ(tokenizer->data().eos, 4095);
  EXPECT_EQ(tokenizer->data().bos, 4093);  // tokenizer_config.json has null, config.json a number
  EXPECT_EQ(tokenizer->data().pad, 4093);
  const auto gguf = through_gguf(dir, *source, spec);
  const auto& m = *gguf->gguf();
  EXPECT_EQ(m.string("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(m.string("tokenizer.ggml.pre"), "qwen2");
  EXPECT_EQ(m.strings("tokenizer.ggml.tokens")->size(), 4096u);
  EXPECT_EQ(m.strings("tokenizer.ggml.tokens")->at(4095), "<|im_end|>");
  EXPECT_EQ(m.integers("tokenizer.ggml.token_type")->at(4095), 3);
  EXPECT_EQ(m.integers("tokenizer.ggml.token_type")->at(300), 1);
  EXPECT_EQ(m.integer("tokenizer.ggml.eos_token_id"), 4095);
  EXPECT_EQ(m.boolean("tokenizer.ggml.add_bos_token"), false);
  EXPECT_EQ(read_spec(*gguf).eos, spec.eos);
  const auto again = load_tokenizer(*gguf);
  const BpeData &a = tokenizer->data(), &b = again->data();
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.merges, b.merges);
  EXPECT_EQ(std::tie(a.pre, a.nfc, a.ignore_merges, a.add_bos, a.bos, a.eos, a.pad), std::tie(b.pre, b.nfc, b.ignore_merges, b.add_bos, b.bos, b.eos, b.pad));
  const auto text = read_file(demo_path() + "/eval.txt").substr(0, 20'000) + "<|im_start|>user\n caf\xc3\xa9 \xf0\x9f\x98\x80<|im_end|>";
  EXPECT_EQ(tokenizer->encode(text), again->encode(text));
  EXPECT_EQ(read_chat_templates(*gguf), read_chat_templates(*source));
  EXPECT_EQ(read_chat_templates(*gguf).size(), 1u);
  // GGUF to GGUF: the keys as they are.
  GgufMetadata copy;
  write_gguf_vocabulary(*gguf, spec, copy);
  EXPECT_EQ(*copy.strings("tokenizer.ggml.merges"), *m.strings("tokenizer.ggml.merges"));
}

TEST(TokenizerSource, GapsAndPadding) {
  TempDir dir;
  const auto source = open_source(demo_path());
  ModelSpec spec = read_spec(*source);
  spec.vocab = 4100;
  spec.hidden = 4;
  const auto gguf = through_gguf(dir, *source, spec);
  EXPECT_EQ(gguf->gguf()->strings("tokenizer.ggml.tokens")->at(4099), "[PAD4099]");
  EXPECT_EQ(gguf->gguf()->integers("tokenizer.ggml.token_type")->at(4099), 5);
  EXPECT_EQ(load_tokenizer(*gguf)->data().tokens.size(), 4096u);
  spec.vocab = 4000;
  GgufMetadata metadata;
  expect_error(ErrorKind::Input, "has 4096 tokens, the embedding has 4000 rows", [&] { write_gguf_vocabulary(*source, spec, metadata); });
}

TEST(TokenizerSource, Refused) {
  TempDir dir;
  FakeSource hf(ContainerKind::Safetensors, dir.path());
  expect_error(ErrorKind::Input, "tokenizer.json: is absent", [&] { load_tokenizer(hf); });
  dir.write("tokenizer.json", "{}");
  EXPECT_THROW(load_tokenizer(hf), Error);
  const auto wrong = [](const char* part, auto change) {
    SCOPED_TRACE(part);
    FakeSource source(ContainerKind::Gguf, "x.gguf");
    auto& m = source.metadata();
    m.set_string("tokenizer.ggml.model", "gpt2");
    m.set_string("tokenizer.ggml.pre", "qwen2");
    m.set_strings("tokenizer.ggml.tokens", {"a", "b", "ab"});
    m.set_strings("tokenizer.ggml.merges", {"a b"});
    change(m);
    expect_error(ErrorKind::Input, part, [&] { load_tokenizer(source); });
  };
  wrong("the tokenizer model \"bert\" is not supported", [](auto& m) { m.set_string("tokenizer.ggml.model", "bert"); });
  wrong("the pre-tokenizer \"falcon\" is not supported", [](auto& m) { m.set_string("tokenizer.ggml.pre", "falcon"); });
  wrong("tokenizer.teeny.options: \"nfc\" has a value", [](auto& m) { m.set_string("tokenizer.teeny.options", R"({"nfc":1})"); });
  wrong("tokenizer.teeny.options: \"added\" has a value", [](auto& m) { m.set_string("tokenizer.teeny.options", R"({"added":{"7":["lstrip"]}})"); });
  wrong("tokenizer.teeny.options is not a JSON object", [](auto& m) { m.set_string("tokenizer.teeny.options", "[]"); });
  wrong("tokenizer.ggml.tokens: has the type an array of i32", [](auto& m) { m.set_i32s("tokenizer.ggml.tokens", {1}); });
  wrong("token_type has 2 entries, tokenizer.ggml.tokens 3", [](auto& m) { m.set_i32s("tokenizer.ggml.token_type", {1, 1}); });
  wrong("merges holds \"ab\", expected two parts", [](auto& m) { m.set_strings("tokenizer.ggml.merges", {"ab"}); });
  wrong("merges holds \"\"", [](auto& m) { m.set_strings("tokenizer.ggml.merges", {""}); });
  wrong("merges holds \"a \"", [](auto& m) { m.set_strings("tokenizer.ggml.merges", {"a "}); });
  wrong("eos_token_id is 3, outside the vocabulary of 3", [](auto& m) { m.set_u32("tokenizer.ggml.eos_token_id", 3); });
  FakeSource none(ContainerKind::Gguf, "x.gguf");
  expect_error(ErrorKind::Input, "tokenizer.ggml.model is absent", [&] { load_tokenizer(none); });
}

TEST(ChatTemplates, ShippedModel) {
  const auto chat = load_chat_template(*open_source(demo_path()));
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->render({{"user", "hi"}}, true).substr(0, 19), "<|im_start|>system\n");
  TempDir dir;
  EXPECT_FALSE(load_chat_template(FakeSource(ContainerKind::Safetensors, dir.path())));
  dir.write("chat_template.jinja", "{{ cycler.__init__.__globals__.os.popen('id').read() }}");
  expect_error(ErrorKind::Input, dir.path(), [&] { load_chat_template(FakeSource(ContainerKind::Safetensors, dir.path())); });
}

TEST(ChatTemplates, Sources) {
  TempDir dir;
  FakeSource source(ContainerKind::Safetensors, dir.path());
  EXPECT_TRUE(read_chat_templates(source).empty());
  dir.write("tokenizer_config.json", R"({"chat_template":[{"name":"tool_use","template":"T"},{"name":"default","template":"D"}]})");
  auto templates = read_chat_templates(source);
  ASSERT_EQ(templates.size(), 2u);
  EXPECT_EQ(templates[0], (std::pair<std::string, std::string>("default", "D")));
  dir.write("tokenizer_config.json", R"({"chat_template":[{"name":"x"}]})");
  expect_error(ErrorKind::Input, "lacks \"name\" or \"template\"", [&] { read_chat_templates(source); });
  dir.write("tokenizer_config.json", R"({"chat_template":3})");
  expect_error(ErrorKind::Input, "neither a string nor a list", [&] { read_chat_templates(source); });
  dir.write("chat_template.jinja", "J");  // wins
  templates = read_chat_templates(source);
  ASSERT_EQ(templates.size(), 1u);
  EXPECT_EQ(templates[0].second, "J");
}

}  // namespace
}  // namespace teeny
