// Files that are damaged, or that ask for what this tokenizer is not: refused by name.
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "text_fixture.h"

namespace teeny::test {
namespace {

// All 256 byte symbols, two merges, one added token.
Json small() {
  Json vocab = Json::object();
  for (const auto& [token, id] : demo_json()["model"]["vocab"].items())
    if (id.get<int>() < 256) vocab[token] = id;
  vocab["ab"] = 256;
  vocab["abc"] = 257;
  Json json = demo_json();
  json["model"]["vocab"] = vocab;
  json["model"]["merges"] = Json::array({"a b", Json::array({"ab", "c"})});
  json["added_tokens"] = Json::array({{{"id", 258}, {"content", "<s>"}, {"special", true}}});
  return json;
}
std::string refusal(const std::function<void(Json&)>& change) {
  Json json = small();
  change(json);
  return error_of([&] { read_tokenizer_json(json, "tokenizer.json"); });
}
Json sequence(Json first, Json second) { return {{"type", "Sequence"}, {"pretokenizers", Json::array({std::move(first), std::move(second)})}}; }
Json bos_template() {
  return Json::parse(R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
                         "pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[258],"tokens":["<s>"]}}})");
}

TEST(TokenizerJson, WritesWhatItReads) {
  const std::string path = TEENY_TEST_SOURCE_DIR "/configs/models/teeny-demo-7m/tokenizer.json";
  BpeData data = read_tokenizer_json(read_json_file(path, "test"), path);
  for (const bool bos : {false, true}) {
    data.add_bos = bos;
    data.bos = bos ? 4093 : -1;
    const BpeData again = read_tokenizer_json(write_tokenizer_json(data), "written");
    EXPECT_EQ(again.tokens, data.tokens);
    EXPECT_EQ(again.merges, data.merges);
    EXPECT_EQ(again.added.size(), data.added.size());
    EXPECT_EQ(again.pre, data.pre);
    EXPECT_EQ(again.nfc, data.nfc);
    EXPECT_EQ(again.add_bos, bos);
    EXPECT_EQ(again.bos, data.bos);
  }
}

TEST(TokenizerJson, ReadsMergesAsStringsAndPairs) {
  const BpeData data = read_tokenizer_json(small(), "test");
  EXPECT_EQ(data.merges, (std::vector<std::pair<std::string, std::string>>{{"a", "b"}, {"ab", "c"}}));
  EXPECT_EQ(data.tokens.size(), 259u);
  EXPECT_EQ(data.tokens[258], "<s>");
  EXPECT_EQ(data.pre, PreTokenizer::Qwen2);
  EXPECT_FALSE(data.add_bos);
  EXPECT_EQ(make_tokenizer(data, "test")->encode("abc<s>"), (std::vector<int32_t>{257, 258}));
}

TEST(TokenizerJson, TemplateProcessingAddsBos) {
  Json json = small();
  json["post_processor"] = {{"type", "Sequence"}, {"processors", Json::array({Json{{"type", "ByteLevel"}}, bos_template()})}};
  const BpeData data = read_tokenizer_json(json, "test");
  EXPECT_TRUE(data.add_bos);
  EXPECT_EQ(data.bos, 258);
}

TEST(TokenizerJson, ByteLevelAloneIsGpt2) {
  Json json = small();
  json["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}};  // use_regex is true when absent
  EXPECT_EQ(read_tokenizer_json(json, "test").pre, PreTokenizer::Gpt2);
  EXPECT_FALSE(read_tokenizer_json(json, "test").prefix_space);
  json["pre_tokenizer"]["add_prefix_space"] = true;
  EXPECT_TRUE(read_tokenizer_json(json, "test").prefix_space);
}

// Two letters, U+2581 and one merge: SentencePiece-style.
Json characters() {
  return Json::parse(R"({"model":{"type":"BPE","unk_token":"<unk>","fuse_unk":true,"byte_fallback":true,"vocab":{"<unk>":0,"<s>":1,"</s>":2,"a":3,"\u2581":4,"\u2581a":5,"<0x41>":6},
    "merges":[["\u2581","a"]]},"added_tokens":[{"id":1,"content":"<s>","special":true},{"id":2,"content":"</s>","special":true}],
    "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"\u2581"},{"type":"Replace","pattern":{"String":" "},"content":"\u2581"}]},
    "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"\u2581"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
    "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"</s>","type_id":0}}],
      "special_tokens":{"<s>":{"id":"<s>","ids":[1],"tokens":["<s>"]},"</s>":{"id":"</s>","ids":[2],"tokens":["</s>"]}}}})");
}
using Ids = std::vector<int32_t>;

TEST(TokenizerJson, CharactersWithByteFallback) {
  const BpeData data = read_tokenizer_json(characters(), "test");
  EXPECT_EQ(data.alphabet, Alphabet::Characters);
  EXPECT_EQ(data.prefix, SpacePrefix::Part);
  EXPECT_EQ(data.unk, 0);
  const auto t = make_tokenizer(data, "test");
  EXPECT_EQ(t->encode("a a"), (Ids{5, 5}));
  EXPECT_EQ(t->encode(" a"), (Ids{4, 5}));
  EXPECT_EQ(t->encode("a</s>a", true), (Ids{1, 5, 2, 5, 2}));
  EXPECT_EQ(t->encode("Azzx a"), (Ids{4, 6, 0, 5}));  // an unknown run is one token
  EXPECT_EQ(t->encode("zA"), (Ids{4, 6, 0}));         // and comes after the bytes, as in tokenizers
  EXPECT_EQ(t->encode(""), Ids{});
  EXPECT_EQ(t->decode(Ids{1, 5, 5, 6}), "a aA");
  EXPECT_EQ(t->decode(Ids{1, 5}, false), "<s> a");
  EXPECT_EQ(t->decode_continuation(Ids{5, 5}), " a a");
  EXPECT_EQ(t->decode_bytes(5), " a");
  EXPECT_EQ(t->decode_bytes(6), "A");
}

TEST(TokenizerJson, MetaspaceSchemes) {
  const auto tokenizer = [](const char* scheme, bool split) {
    Json json = characters();
    json["normalizer"] = nullptr;
    json["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", scheme}, {"split", split}};
    return make_tokenizer(read_tokenizer_json(json, "test"), "test");
  };
  EXPECT_EQ(tokenizer("first", false)->encode("a</s>a"), (Ids{5, 2, 3}));
  EXPECT_EQ(tokenizer("first", false)->encode("</s>a"), (Ids{2, 3}));
  EXPECT_EQ(tokenizer("always", true)->encode("a</s>a"), (Ids{5, 2, 5}));
  EXPECT_EQ(tokenizer("always", true)->encode(" a"), (Ids{5}));
  EXPECT_EQ(tokenizer("never", true)->encode("a a"), (Ids{3, 5}));
}

TEST(TokenizerJson, CharactersWriteWhatTheyRead) {
  for (const char* scheme : {"part", "first", "always", "never"}) {
    Json json = characters();
    if (scheme != std::string("part")) {
      json["normalizer"] = nullptr;
      json["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", scheme}, {"split", true}};
      json["decoder"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", scheme}};
    }
    const BpeData a = read_tokenizer_json(json, "test"), b = read_tokenizer_json(write_tokenizer_json(a), "written");
    EXPECT_EQ(std::tie(a.tokens, a.merges, a.alphabet, a.pre, a.decoder, a.metaspace, a.prefix, a.split_words, a.byte_fallback, a.fuse_unk, a.strip_space),
              std::tie(b.tokens, b.merges, b.alphabet, b.pre, b.decoder, b.metaspace, b.prefix, b.split_words, b.byte_fallback, b.fuse_unk, b.strip_space)) << scheme;
    EXPECT_EQ(std::tie(a.add_bos, a.add_eos, a.bos, a.eos, a.unk), std::tie(b.add_bos, b.add_eos, b.bos, b.eos, b.unk)) << scheme;
  }
}

// Ten million letters of which all neighbours merge are one word: a quadratic merge would not end.
TEST(TokenizerJson, OneLongWordIsNotQuadratic) {
  Json json = characters();
  json["model"]["vocab"]["aa"] = 7, json["model"]["vocab"]["a\u2581a"] = 8, json["model"]["vocab"]["a\u2581"] = 9;
  json["model"]["merges"] = Json::array({Json::array({"a", "a"}), Json::array({"a", "\u2581"}), Json::array({"a\u2581", "a"})});
  const auto t = make_tokenizer(read_tokenizer_json(json, "test"), "test");
  std::string text;
  for (int i = 0; i < 1'000'000; ++i) text += "aa a ";
  EXPECT_EQ(t->decode(t->encode(text)), text);
}

TEST(TokenizerJson, StreamGivesWhatDecodeGives) {
  Json json = characters();
  for (int b = 0; b < 256; ++b) json["model"]["vocab"][fmt::format("<0x{:02X}>", b)] = b == 0x41 ? 6 : 100 + b;
  const auto pieces = make_tokenizer(read_tokenizer_json(json, "test"), "test");
  for (const auto& t : {pieces, demo_tokenizer()}) {
    const Ids whole = t->encode("\xF0\x9F\xA6\x99 caf\xC3\xA9 \xE4\xBD\xA0 a<s>");
    uint64_t seed = 7;
    for (int round = 0; round < 2000; ++round) {
      Ids ids;
      for (const int32_t id : whole)
        if ((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 62) ids.push_back(id);  // a quarter left out
      const auto stream = t->decode_stream(round % 2);
      std::string out;
      for (const int32_t id : ids) out += stream->push(id);
      ASSERT_EQ(out + stream->finish(), t->decode(ids, round % 2));
    }
  }
}

TEST(TokenizerJson, ScoresMergeAnyPairThatIsAToken) {
  BpeData data = read_tokenizer_json(characters(), "test");
  data.merges.clear();
  data.tokens.insert(data.tokens.end(), {"b", "ab", "abc", "bc"});  // 7..10; "c" is no token
  data.scores = {0, 0, 0, -1, -2, -9, 0, -3, -4, -6, -5};
  const auto t = make_tokenizer(data, "test");
  EXPECT_EQ(t->encode("ab"), (Ids{4, 8}));
  EXPECT_EQ(t->encode("abc"), (Ids{4, 9}));      // ab first, then with a c that has no token of its own
  EXPECT_EQ(t->encode("bbc"), (Ids{4, 7, 10}));
  EXPECT_EQ(t->encode("A"), (Ids{4, 6}));
  EXPECT_EQ(t->encode("c"), (Ids{4, 0}));        // its byte has no token
  data.scores[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(error_of([&] { make_tokenizer(data, "file"); }).find("the score of token 3 is nan"), std::string::npos);
  data.scores.pop_back();
  EXPECT_NE(error_of([&] { make_tokenizer(data, "file"); }).find("10 scores for 11 tokens"), std::string::npos);
}

struct Bad {
  const char* expected;
  std::function<void(Json&)> change;
};
// clang-format off
const Bad kBad[] = {
    {"\"model\" is a JSON null", [](Json& j) { j.erase("model"); }},
    {"the file is a JSON array", [](Json& j) { j = Json::array(); }},
    {"model \"Unigram\" is not supported", [](Json& j) { j["model"]["type"] = "Unigram"; }},
    {"model.type is a JSON number", [](Json& j) { j["model"]["type"] = 7; }},
    {"end_of_word_suffix \"</w>\"", [](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }},
    {"continuing_subword_prefix \"##\"", [](Json& j) { j["model"]["continuing_subword_prefix"] = "##"; }},
    {"dropout \"0.1\"", [](Json& j) { j["model"]["dropout"] = 0.1; }},
    {"ignore_merges is a JSON string", [](Json& j) { j["model"]["ignore_merges"] = "yes"; }},
    {"unk_token or byte_fallback", [](Json& j) { j["model"]["byte_fallback"] = true; j["model"]["vocab"].erase("!"); }},
    {"model.vocab is a JSON array", [](Json& j) { j["model"]["vocab"] = Json::array(); }},
    {"model.vocab is empty", [](Json& j) { j["model"]["vocab"] = Json::object(); }},
    {"empty token", [](Json& j) { j["model"]["vocab"][""] = 300; }},
    {"\"x1\" has id -1", [](Json& j) { j["model"]["vocab"]["x1"] = -1; }},
    {"\"x1\" has id 4194304", [](Json& j) { j["model"]["vocab"]["x1"] = 1 << 22; }},
    {"\"x1\" has id 2147483648", [](Json& j) { j["model"]["vocab"]["x1"] = 1ll << 31; }},
    {"\"x1\" has id 9007199254740993", [](Json& j) { j["model"]["vocab"]["x1"] = (1ll << 53) + 1; }},
    {"\"x1\" has id 18446744073709551615", [](Json& j) { j["model"]["vocab"]["x1"] = ~0ull; }},
    {"\"x1\" has id 3.0", [](Json& j) { j["model"]["vocab"]["x1"] = 3.0; }},
    {"\"x1\" has id \"3\"", [](Json& j) { j["model"]["vocab"]["x1"] = "3"; }},
    {"id 256 belongs to two tokens", [](Json& j) { j["model"]["vocab"]["x1"] = 256; }},
    {"model.merges is a JSON null", [](Json& j) { j["model"].erase("merges"); }},
    {"merge 2 is \"ab\"", [](Json& j) { j["model"]["merges"].push_back("ab"); }},
    {"merge 2 is \"a b c\"", [](Json& j) { j["model"]["merges"].push_back("a b c"); }},
    {"merge 2 is \" b\"", [](Json& j) { j["model"]["merges"].push_back(" b"); }},
    {"merge 2 is \"a \"", [](Json& j) { j["model"]["merges"].push_back("a "); }},
    {"merge 2 is \"\"", [](Json& j) { j["model"]["merges"].push_back(""); }},
    {"merge 2 has 3 parts", [](Json& j) { j["model"]["merges"].push_back({"a", "b", "c"}); }},
    {"a part of a merge is a JSON number", [](Json& j) { j["model"]["merges"].push_back(Json::array({"a", 1})); }},
    {"merge 2 is a JSON number", [](Json& j) { j["model"]["merges"].push_back(1); }},
    {"needs the token \"zz\"", [](Json& j) { j["model"]["merges"].push_back("zz a"); }},
    {"needs the token \"ba\"", [](Json& j) { j["model"]["merges"].push_back("b a"); }},
    {"needs the token \"<s>\"", [](Json& j) { j["model"]["merges"].push_back("<s> a"); }},
    {"added_tokens is a JSON object", [](Json& j) { j["added_tokens"] = Json::object(); }},
    {"added token 258 is empty", [](Json& j) { j["added_tokens"][0]["content"] = ""; }},
    {"the content of an added token is a JSON null", [](Json& j) { j["added_tokens"][0].erase("content"); }},
    {"token \"<s>\" has id null", [](Json& j) { j["added_tokens"][0].erase("id"); }},
    {"special is a JSON number", [](Json& j) { j["added_tokens"][0]["special"] = 1; }},
    {"\"<s>\" stands twice", [](Json& j) { j["added_tokens"].push_back(j["added_tokens"][0]); }},
    {"id 257 belongs to two tokens", [](Json& j) { j["added_tokens"][0]["id"] = 257; }},
    {"token \"ab\" has the ids 256 and 258", [](Json& j) { j["added_tokens"][0]["content"] = "ab"; }},
    {"normalizer \"NFKC\" is not supported", [](Json& j) { j["normalizer"] = {{"type", "NFKC"}}; }},
    {"normalizer \"Lowercase\"", [](Json& j) { j["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array({Json{{"type", "NFC"}}, Json{{"type", "Lowercase"}}})}}; }},
    {"normalizer.type is a JSON null", [](Json& j) { j["normalizer"] = Json::object(); }},
    {"pre_tokenizer \"null\"", [](Json& j) { j["pre_tokenizer"] = nullptr; }},
    {"pre_tokenizer \"Whitespace\"", [](Json& j) { j["pre_tokenizer"] = {{"type", "Whitespace"}}; }},
    {"pre_tokenizer.replacement is a JSON null", [](Json& j) { j["pre_tokenizer"] = {{"type", "Metaspace"}}; }},
    {"pre-tokenizer pattern \"(a+)+\"", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a+)+"; }},
    {"Split pattern \"{\"String\":\" \"}\"", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {{"String", " "}}; }},
    {"Split behavior \"Removed\"", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }},
    {"Split behavior \"Isolated inverted\"", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["invert"] = true; }},
    {"use_regex=true\" is not supported", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][1]["use_regex"] = true; }},
    {"add_prefix_space=true\" is not supported", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; }},
    {"use_regex=false alone", [](Json& j) { j["pre_tokenizer"] = {{"type", "ByteLevel"}, {"use_regex", false}}; }},
    {"Sequence of other parts", [](Json& j) { j["pre_tokenizer"] = sequence({{"type", "ByteLevel"}}, {{"type", "ByteLevel"}}); }},
    {"pre_tokenizer.pretokenizers is a JSON null", [](Json& j) { j["pre_tokenizer"] = {{"type", "Sequence"}}; }},
    {"decoder \"null\"", [](Json& j) { j["decoder"] = nullptr; }},
    {"decoder \"WordPiece\"", [](Json& j) { j["decoder"] = {{"type", "WordPiece"}}; }},
    {"post_processor \"BertProcessing\"", [](Json& j) { j["post_processor"] = {{"type", "BertProcessing"}}; }},
    {"adds several tokens", [](Json& j) { j["post_processor"] = bos_template(); for (int i = 0; i < 2; ++i) j["post_processor"]["single"].push_back(j["post_processor"]["single"][0]); }},
    {"without the text", [](Json& j) { j["post_processor"] = bos_template(); j["post_processor"]["single"].erase(1); }},
    {"individual_digits=false", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0] = {{"type", "Digits"}}; }},
    {"Sequence of other parts", [](Json& j) { j["pre_tokenizer"] = sequence({{"type", "Metaspace"}, {"replacement", "\u2581"}}, {{"type", "ByteLevel"}}); }},
    {"Prepend or Replace before ByteLevel", [](Json& j) { j["normalizer"] = {{"type", "Prepend"}, {"prepend", "\u2581"}}; }},
    {"normalizer \"{\"type\":\"Prepend\"", [](Json& j) { j["normalizer"] = {{"type", "Prepend"}, {"prepend", "x"}}; }},
    {"adds several tokens", [](Json& j) { j["post_processor"] = bos_template(); j["post_processor"]["single"].insert(j["post_processor"]["single"].begin(), j["post_processor"]["single"][0]); }},
    {"has not one id for \"<s>\"", [](Json& j) { j["post_processor"] = bos_template(); j["post_processor"]["special_tokens"] = nullptr; }},
    {"adds id 999", [](Json& j) { j["post_processor"] = bos_template(); j["post_processor"]["special_tokens"]["<s>"]["ids"][0] = 999; }},
};
// clang-format on

TEST(TokenizerJson, RefusesCharactersItCannotHonour) {
  const std::pair<const char*, std::function<void(Json&)>> bad[] = {
      {"model.unk_token is \"zz\"", [](Json& j) { j["model"]["unk_token"] = "zz"; }},
      {"decoder \"Replace ByteFallback\"", [](Json& j) { j["decoder"]["decoders"].erase(3), j["decoder"]["decoders"].erase(2); }},
      {"decoder \"ByteLevel\"", [](Json& j) { j["decoder"] = {{"type", "ByteLevel"}}; }},
      {"\"start\":2", [](Json& j) { j["decoder"]["decoders"][3]["start"] = 2; }},
      {"Metaspace\" is not supported; known: none after", [](Json& j) { j["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}}; }},
      {"Metaspace replacement \"_\"", [](Json& j) { j["normalizer"] = nullptr, j["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "_"}}; }},
      {"prepend_scheme \"maybe\"", [](Json& j) { j["normalizer"] = nullptr, j["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "maybe"}}; }},
      {"add_prefix_space=false does not go with", [](Json& j) { j["normalizer"] = nullptr, j["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"add_prefix_space", false}}; }},
      {"Prepend without Replace", [](Json& j) { j["normalizer"]["normalizers"].erase(1), j["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}}; }},
      {"pre_tokenizer \"null\"", [](Json& j) { j["normalizer"] = nullptr; }},
  };
  for (const auto& [expected, change] : bad) {
    Json json = characters();
    change(json);
    const std::string message = error_of([&] { read_tokenizer_json(json, "tokenizer.json"); });
    EXPECT_EQ(message.rfind("3 [tokenizer] tokenizer.json: ", 0), 0u) << expected << " -> " << message;
    EXPECT_NE(message.find(expected), std::string::npos) << expected << " -> " << message;
  }
}

TEST(TokenizerJson, RefusesWhatItCannotHonour) {
  ASSERT_EQ(refusal([](Json&) {}), "");
  for (const Bad& bad : kBad) {
    const std::string message = refusal(bad.change);
    EXPECT_EQ(message.rfind("3 [tokenizer] tokenizer.json: ", 0), 0u) << bad.expected << " -> " << message;
    EXPECT_NE(message.find(bad.expected), std::string::npos) << bad.expected << " -> " << message;
  }
}

}  // namespace
}  // namespace teeny::test
