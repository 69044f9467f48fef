// Vocabularies of GGUF files: llama.cpp's own probe texts (not in the repository), and what teeny writes read back.
#include <gtest/gtest.h>

#include <cmath>
#include <iterator>
#include <sstream>

#include "family/gguf_vocabulary.h"
#include "fake_source.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny {
namespace {
using Ids = std::vector<int32_t>;
const std::string kShared = std::string(TEENY_TEST_SOURCE_DIR) + "/../shared/data/tokenizers/";

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  for (size_t at = 0;;) {
    const size_t stop = text.find(separator, at);
    parts.push_back(text.substr(at, stop == std::string::npos ? stop : stop - at));
    if (stop == std::string::npos) return parts;
    at = stop + separator.size();
  }
}

class LlamaCppCases : public testing::TestWithParam<const char*> {};

TEST_P(LlamaCppCases, GivesTheIdsThatLlamaCppExpects) {
  const std::string folder = kShared + GetParam();
  if (!path_exists(folder + "/vocab.gguf")) GTEST_SKIP() << folder << " is not there";
  const BpeData data = read_gguf_vocabulary(*open_source(folder + "/vocab.gguf")->gguf(), folder);
  const auto tokenizer = make_tokenizer(data, folder);
  const auto again = make_tokenizer(read_tokenizer_json(write_tokenizer_json(data), "written"), "written");
  const auto texts = split(read_file(folder + "/cases.inp"), "\n__ggml_vocab_test__\n");
  std::istringstream expected(read_file(folder + "/cases.out"));
  size_t count = 0;
  for (std::string line; std::getline(expected, line); ++count) {
    std::istringstream numbers(line);
    const Ids ids{std::istream_iterator<int32_t>(numbers), {}};
    ASSERT_LT(count, texts.size());
    EXPECT_EQ(tokenizer->encode(texts[count]), ids) << "\"" << texts[count] << "\"";
    EXPECT_EQ(again->encode(texts[count]), ids) << "\"" << texts[count] << "\"";
    EXPECT_EQ(tokenizer->decode(ids), texts[count]);
  }
  EXPECT_EQ(count, texts.size() - 1);
}
INSTANTIATE_TEST_SUITE_P(Golden, LlamaCppCases, testing::Values("llama-spm", "gpt-2"));

// Letters, their pairs and 256 byte tokens; odd added tokens.
BpeData characters() {
  BpeData data;
  data.alphabet = Alphabet::Characters;
  data.pre = PreTokenizer::None;
  data.decoder = TokenDecoder::ByteFallback;
  data.tokens = {"<unk>", "<s>", "</s>", "\xe2\x96\x81", "a", "b", "\xe2\x96\x81" "a", "ab", "<x>"};
  for (int b = 0; b < 256; ++b) data.tokens.push_back(fmt::format("<0x{:02X}>", b));
  data.merges = {{"a", "b"}, {"\xe2\x96\x81", "a"}};
  data.added = {{.id = 0, .content = "<unk>", .special = true, .in_model = true}, {.id = 1, .content = "<s>", .special = true, .in_model = true},
                {.id = 2, .content = "</s>", .special = true, .in_model = true}, {.id = 8, .content = "<x>", .lstrip = true, .rstrip = true, .in_model = true}};
  data.bos = 1, data.eos = 2, data.unk = 0;
  data.add_bos = data.byte_fallback = data.fuse_unk = data.strip_space = true;
  data.prefix = SpacePrefix::Part;
  return data;
}

void expect_round_trip(const BpeData& data, const char* what) {
  SCOPED_TRACE(what);
  GgufMetadata metadata;
  ModelSpec spec;
  spec.vocab = int64_t(data.tokens.size()) + 3;
  write_gguf_tokens(data, spec, "test", metadata);
  const BpeData back = read_gguf_vocabulary(metadata, "written");
  const auto a = make_tokenizer(data, "a"), b = make_tokenizer(back, "b");
  for (const char* text : {"", " ", "a", " a", "ab ab", "a<s>a", "<s> a", " <x> a", "a  <x>  b", "caf\xc3\xa9 ab", "aab\xe2\x96\x81" "a b</s>"}) {
    const auto ids = a->encode(text, true);
    EXPECT_EQ(ids, b->encode(text, true)) << text;
    EXPECT_EQ(a->decode(ids), b->decode(ids)) << text;
    EXPECT_EQ(a->decode(ids, false), b->decode(ids, false)) << text;
  }
}

TEST(GgufVocabulary, CharactersThroughGguf) {
  expect_round_trip(characters(), "legacy");
  for (const auto prefix : {SpacePrefix::First, SpacePrefix::Always, SpacePrefix::Never}) {
    BpeData data = characters();
    data.metaspace = true;
    data.prefix = prefix;
    expect_round_trip(data, "metaspace");
    data.split_words = true;
    data.decoder = TokenDecoder::Metaspace;
    expect_round_trip(data, "metaspace, words");
  }
  BpeData data = characters();
  data.nfc = data.add_eos = true;
  data.add_bos = false;
  expect_round_trip(data, "NFC, EOS");
}

TEST(GgufVocabulary, WritesWhatLlamaCppReads) {
  GgufMetadata m;
  ModelSpec spec;
  spec.vocab = 300;
  write_gguf_tokens(characters(), spec, "test", m);
  EXPECT_EQ(m.string("tokenizer.ggml.model"), "llama");
  EXPECT_EQ(m.boolean("tokenizer.ggml.add_space_prefix"), true);
  EXPECT_EQ(m.boolean("tokenizer.ggml.add_bos_token"), true);
  EXPECT_EQ(m.integer("tokenizer.ggml.unknown_token_id"), 0);
  const auto types = *m.integers("tokenizer.ggml.token_type");
  EXPECT_EQ(std::vector<int64_t>(types.begin(), types.begin() + 10), (std::vector<int64_t>{2, 3, 3, 1, 1, 1, 1, 1, 4, 6}));
  EXPECT_EQ(types[299], 5);
  const auto scores = *m.numbers("tokenizer.ggml.scores");
  ASSERT_EQ(scores.size(), 300u);
  EXPECT_EQ(scores[7], 0);
  EXPECT_EQ(scores[6], -1);
  EXPECT_LT(scores[4], -1);
}

TEST(GgufVocabulary, EachPreTokenizerHasItsName) {
  for (const auto& [pre, merges, name] : {std::tuple(PreTokenizer::Qwen2, false, "qwen2"), {PreTokenizer::Llama3, true, "llama-bpe"}, {PreTokenizer::Llama3, false, "dbrx"},
                                          {PreTokenizer::Gpt2, false, "gpt-2"}, {PreTokenizer::Tekken, true, "tekken"}, {PreTokenizer::Tekken, false, "tekken"},
                                          {PreTokenizer::Gpt4o, false, "gpt-4o"}, {PreTokenizer::Qwen35, false, "qwen35"}, {PreTokenizer::SmolLm, false, "smollm"},
                                          {PreTokenizer::DeepSeek3, false, "deepseek-v3"}}) {
    BpeData data;
    data.tokens = {"a", "b", "ab"};
    data.merges = {{"a", "b"}};
    data.pre = pre;
    data.ignore_merges = merges;
    GgufMetadata m;
    ModelSpec spec;
    spec.vocab = 3;
    write_gguf_tokens(data, spec, "test", m);
    EXPECT_EQ(m.string("tokenizer.ggml.pre"), name);
    const BpeData back = read_gguf_vocabulary(m, "written");
    EXPECT_EQ(std::tie(back.pre, back.ignore_merges, back.nfc, back.add_bos), std::tie(data.pre, data.ignore_merges, data.nfc, data.add_bos)) << name;
  }
}

TEST(GgufVocabulary, AddedTokensKeepWhatGgufHasNoKeyFor) {
  BpeData data;
  data.tokens = {"a", "b", "ab", "<|x|>", "\xc3\xa9"};
  data.merges = {{"a", "b"}};
  data.added = {{.id = 2, .content = "ab", .single_word = true, .in_model = true}, {.id = 3, .content = "<|x|>"}, {.id = 4, .content = "\xc3\xa9", .special = true, .in_model = true}};
  GgufMetadata m;
  ModelSpec spec;
  spec.vocab = 5;
  write_gguf_tokens(data, spec, "test", m);
  EXPECT_EQ(m.integers("tokenizer.ggml.token_type")->at(3), 3);
  const BpeData back = read_gguf_vocabulary(m, "written");
  ASSERT_EQ(back.added.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const auto &a = data.added[i], &b = back.added[i];
    EXPECT_EQ(std::tie(a.id, a.content, a.special, a.single_word, a.lstrip, a.rstrip, a.normalized, a.in_model), std::tie(b.id, b.content, b.special, b.single_word, b.lstrip, b.rstrip, b.normalized, b.in_model)) << i;
  }
}

TEST(GgufVocabulary, RefusesDamagedCharacters) {
  const auto message = [](auto change) -> std::string {
    GgufMetadata m;
    m.set_string("tokenizer.ggml.model", "llama");
    m.set_strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "</s>", "a"});
    m.set_f32s("tokenizer.ggml.scores", {0, 0, 0, -1});
    change(m);
    try {
      make_tokenizer(read_gguf_vocabulary(m, "x.gguf"), "x.gguf")->encode("a b");
      return "";
    } catch (const Error& e) {
      return e.kind() == ErrorKind::Input ? e.what() : "not Input";
    }
  };
  EXPECT_EQ(message([](auto&) {}), "");
  EXPECT_NE(message([](auto& m) { m.set_f32s("tokenizer.ggml.scores", {0}); }).find("scores has 1 entries, tokenizer.ggml.tokens 4"), std::string::npos);
  EXPECT_NE(message([](auto& m) { m.set_u32("tokenizer.ggml.unknown_token_id", 4); }).find("unknown_token_id is 4"), std::string::npos);
  EXPECT_NE(message([](auto& m) { m.set_strings("tokenizer.ggml.merges", {"a z"}); }).find("needs the token \"z\""), std::string::npos);
  EXPECT_NE(message([](auto& m) { m.set_f32s("tokenizer.ggml.scores", {0, 0, 0, double(NAN)}); }).find("the score of token 3"), std::string::npos);
}

}  // namespace
}  // namespace teeny
