// Files that are damaged, or that ask for what this tokenizer is not: refused by name.
#include <gtest/gtest.h>

#include <functional>

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
    {"pre_tokenizer \"Metaspace\"", [](Json& j) { j["pre_tokenizer"] = {{"type", "Metaspace"}}; }},
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
    {"adds tokens after the text", [](Json& j) { j["post_processor"] = bos_template(); std::swap(j["post_processor"]["single"][0], j["post_processor"]["single"][1]); }},
    {"adds several tokens", [](Json& j) { j["post_processor"] = bos_template(); j["post_processor"]["single"].insert(j["post_processor"]["single"].begin(), j["post_processor"]["single"][0]); }},
    {"has not one id for \"<s>\"", [](Json& j) { j["post_processor"] = bos_template(); j["post_processor"]["special_tokens"] = nullptr; }},
    {"adds id 999", [](Json& j) { j["post_processor"] = bos_template(); j["post_processor"]["special_tokens"]["<s>"]["ids"][0] = 999; }},
};
// clang-format on

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
