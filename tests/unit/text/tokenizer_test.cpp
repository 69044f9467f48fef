// Ids and texts against what the `tokenizers` package gave (tests/interop/make_text_cases.py).
#include <gtest/gtest.h>

#include <thread>

#include "text_fixture.h"
#include "teeny/text/dataset.h"

namespace teeny::test {
namespace {

const Json& cases() {
  static const Json json = read_json_file(kRoot + "/tests/data/tokenizer_cases.json", "test");
  return json;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

TEST(Tokenizer, EncodesAndDecodesAsTokenizersWithEveryVariant) {
  size_t count = 0;
  for (const Json& section : cases()["sections"]) {
    Json json = demo_json();
    for (const auto& [key, value] : section["changes"].items()) json[key] = value;
    json["model"]["ignore_merges"] = section["ignore_merges"];
    const std::string name = section["name"];
    const auto tokenizer = make_tokenizer(read_tokenizer_json(json, name), name);
    for (const Json& one : section["cases"]) {
      const std::string text = one["text"];
      const std::vector<int32_t> ids = one["ids"];
      EXPECT_EQ(tokenizer->encode(text), ids) << name << ": " << one["text"];
      EXPECT_EQ(tokenizer->decode(ids, true), one.value("decoded", text)) << name;
      EXPECT_EQ(tokenizer->decode(ids, false), one.value("with_special", text)) << name;
      ++count;
    }
  }
  EXPECT_GT(count, 500u);
}

TEST(Tokenizer, BadBytesBecomeReplacementCharacters) {
  for (const Json& one : cases()["bad_bytes"])
    EXPECT_EQ(demo_tokenizer()->encode(from_hex(one["hex"])), one["ids"].get<std::vector<int32_t>>()) << one["hex"];
}

TEST(Tokenizer, DecodesPartsOfCharactersAndUnknownIds) {
  for (const Json& one : cases()["decode"]) {
    std::vector<int32_t> ids;
    for (const Json& id : one["ids"]) ids.push_back(static_cast<int32_t>(id.get<int64_t>()));
    EXPECT_EQ(demo_tokenizer()->decode(ids), one["text"].get<std::string>()) << one["ids"];
    EXPECT_EQ(demo_tokenizer()->decode(ids, false), one["with_special"].get<std::string>()) << one["ids"];
  }
}

TEST(Tokenizer, BytesOfTokensJoinToTheText) {
  const std::string text = "caf\xC3\xA9 \xF0\x9F\xA6\x99 <|im_end|>\n";
  std::string joined;
  for (const int32_t id : demo_tokenizer()->encode(text)) joined += demo_tokenizer()->decode_bytes(id);
  EXPECT_EQ(joined, text);
  EXPECT_EQ(demo_tokenizer()->decode_bytes(-1), "");
  EXPECT_EQ(demo_tokenizer()->decode_bytes(1 << 30), "");
}

TEST(Tokenizer, KnowsItsVocabulary) {
  const auto tokenizer = demo_tokenizer();
  EXPECT_EQ(tokenizer->size(), 4096);
  EXPECT_EQ(tokenizer->id_of("<|im_end|>"), 4095);
  EXPECT_EQ(tokenizer->id_of("no such token"), -1);
  EXPECT_EQ(tokenizer->id_of(""), -1);
  EXPECT_EQ(tokenizer->data().tokens[4093], "<|endoftext|>");
  EXPECT_EQ(tokenizer->data().merges.size(), 3837u);
  EXPECT_TRUE(tokenizer->data().nfc);
}

TEST(Tokenizer, EvaluationTextHasItsReferenceLength) {
  const Json reference = read_json_file(kRoot + "/tests/data/reference.json", "test");
  const std::string text = read_text(kDemo + "/eval.txt");
  const auto ids = demo_tokenizer()->encode(text);
  EXPECT_EQ(ids.size(), reference["eval_tokens"].get<size_t>());
  EXPECT_EQ(demo_tokenizer()->decode(ids, false), text);
}

TEST(Tokenizer, AddsBosWhenThePostProcessorDoes) {
  BpeData data = demo_tokenizer()->data();
  data.bos = 4093;
  data.add_bos = true;
  const auto tokenizer = make_tokenizer(data, "test");
  auto ids = tokenizer->encode("Hello", true);
  EXPECT_EQ(ids.at(0), 4093);
  ids.erase(ids.begin());
  EXPECT_EQ(ids, tokenizer->encode("Hello"));
}

TEST(Tokenizer, LongPiecesMergeAsShortOnes) {
  // 100,000 letters are one piece: a quadratic merge would take minutes.
  const auto tokenizer = demo_tokenizer();
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "inert";
  const auto ids = tokenizer->encode(text);
  EXPECT_EQ(tokenizer->decode(ids), text);
  // A heap and a scan must agree: 48 symbols take the one, 49 the other; rows of one letter have the most ties.
  for (const char letter : {'a', 'e', 's', ' ', '='}) {
    const auto reference = tokenizer->encode(std::string(96, letter));
    EXPECT_EQ(tokenizer->decode(reference), std::string(96, letter));
  }
}

TEST(Tokenizer, SeveralThreadsAtOnceGetTheSameIds) {
  const std::string text = read_text(kDemo + "/calibration.txt");
  const auto tokenizer = make_tokenizer(read_tokenizer_json(demo_json(), "demo"), "demo");
  const auto expected = demo_tokenizer()->encode(text);
  std::vector<std::vector<int32_t>> results(8);
  std::vector<std::thread> threads;
  for (auto& result : results) threads.emplace_back([&] { for (int pass = 0; pass < 3; ++pass) result = tokenizer->encode(text); });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

TEST(Tokenizer, RefusesContradictoryData) {
  const auto message = [](auto&& change) {
    BpeData data = demo_tokenizer()->data();
    change(data);
    return error_of([&] { make_tokenizer(data, "file"); });
  };
  EXPECT_EQ(message([](BpeData&) {}), "");
  EXPECT_NE(message([](BpeData& d) { d.merges.push_back({"zzz", "qqq"}); }).find("3 [tokenizer] file: merge 3837"), std::string::npos);
  EXPECT_NE(message([](BpeData& d) { d.tokens[5] = d.tokens[6]; }).find("tokens must be unique"), std::string::npos);
  EXPECT_NE(message([](BpeData& d) { d.tokens[5] = "\xFF"; }).find("not valid UTF-8"), std::string::npos);
  EXPECT_NE(message([](BpeData& d) { d.tokens.clear(), d.added.clear(); }).find("vocabulary is empty"), std::string::npos);
  EXPECT_NE(message([](BpeData& d) { d.added[0].content.clear(); }).find("added token 4093 is empty"), std::string::npos);
  EXPECT_NE(message([](BpeData& d) { d.added[0].id = 1 << 30; }).find("has id 1073741824"), std::string::npos);
  EXPECT_NE(message([](BpeData& d) { d.added.push_back(d.added[0]); }).find("stands twice"), std::string::npos);
  EXPECT_NE(message([](BpeData& d) { d.eos = 4096; }).find("the eos id 4096"), std::string::npos);
  EXPECT_NE(message([](BpeData& d) { d.add_bos = true; }).find("none is named"), std::string::npos);
}

}  // namespace
}  // namespace teeny::test
