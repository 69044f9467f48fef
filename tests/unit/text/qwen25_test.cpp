// The real Qwen2.5 tokenizer on llama.cpp's probe texts. The data is not in the repository.
#include <gtest/gtest.h>

#include <cstdio>
#include <iterator>
#include <sstream>

#include "text_fixture.h"

namespace teeny::test {
namespace {

std::string unpack_xz(const std::string& path) {
  std::string text;
  FILE* pipe = popen(("xz -dc '" + path + "'").c_str(), "r");
  if (!pipe) return text;
  char buffer[1 << 16];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, n);
  return pclose(pipe) == 0 ? text : "";
}

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  for (size_t at = 0;; ) {
    const size_t stop = text.find(separator, at);
    parts.push_back(text.substr(at, stop == std::string::npos ? stop : stop - at));
    if (stop == std::string::npos) return parts;
    at = stop + separator.size();
  }
}

TEST(Qwen25Slow, GivesTheIdsThatLlamaCppExpects) {
  const std::string folder = kShared + "/tokenizers/qwen2.5";
  if (!path_exists(folder + "/tokenizer.json.xz")) GTEST_SKIP() << folder << " is not there";
  const std::string json = unpack_xz(folder + "/tokenizer.json.xz");
  if (json.empty()) GTEST_SKIP() << "xz is not installed";
  const auto tokenizer = make_tokenizer(read_tokenizer_json(parse_json(json, "tokenizer", "qwen2.5"), "qwen2.5"), "qwen2.5");
  EXPECT_EQ(tokenizer->size(), 151665);
  const auto texts = split(read_file(folder + "/cases.inp"), "\n__ggml_vocab_test__\n");
  std::istringstream expected(read_file(folder + "/cases.out"));
  size_t count = 0;
  for (std::string line; std::getline(expected, line); ++count) {
    std::istringstream numbers(line);
    const std::vector<int32_t> ids{std::istream_iterator<int32_t>(numbers), {}};
    ASSERT_LT(count, texts.size());
    EXPECT_EQ(tokenizer->encode(texts[count]), ids) << "\"" << texts[count] << "\"";
    EXPECT_EQ(tokenizer->encode(tokenizer->decode(ids)), ids);
  }
  EXPECT_EQ(count, texts.size() - 1);  // a separator ends the file
}

}  // namespace
}  // namespace teeny::test
