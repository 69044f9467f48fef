#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>

#include "teeny/text/dataset.h"
#include "text_fixture.h"

namespace teeny::test {
namespace {

class Dataset : public ::testing::Test {
 protected:
  Dataset() : directory_(std::filesystem::temp_directory_path() / ("teeny_dataset_" + std::to_string(getpid()))) {
    std::filesystem::create_directory(directory_);
  }
  ~Dataset() override { std::filesystem::remove_all(directory_); }
  std::string put(const std::string& name, const std::string& text) const {
    const std::string path = directory_ / name;
    write_file(path, text);
    return path;
  }
  static std::string gzip(const std::string& text) {
    z_stream stream{};
    deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    std::string out(deflateBound(&stream, text.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
  }
  std::filesystem::path directory_;
};

TEST_F(Dataset, ReadsTextPlainAndPacked) {
  std::string text = "line one\nline \xC3\xA9\n";
  for (int i = 0; i < 200000; ++i) text += std::to_string(i * 2654435761u);  // larger than any buffer, hard to pack
  EXPECT_EQ(read_text(put("a.txt", text)), text);
  EXPECT_EQ(read_text(put("a.txt.gz", gzip(text))), text);
  EXPECT_EQ(read_text(put("b.txt.gz", gzip("one ") + gzip("two"))), "one two");  // members are joined
  EXPECT_EQ(read_text(put("c.txt.gz", gzip(""))), "");
}

TEST_F(Dataset, RefusesDamagedGzip) {
  const std::string packed = gzip(std::string(5000, 'x') + "y");
  for (const size_t cut : {size_t{0}, size_t{1}, size_t{9}, packed.size() / 2, packed.size() - 1}) {
    const std::string path = put("cut.gz", packed.substr(0, cut));
    EXPECT_NE(error_of([&] { read_text(path); }).find("3 [text] " + path + ": the gzip data ends early"), std::string::npos) << cut;
  }
  std::string wrong = packed;
  wrong[wrong.size() - 6] ^= 1;  // the checksum
  EXPECT_NE(error_of([&] { read_text(put("crc.gz", wrong)); }).find("is not valid gzip data"), std::string::npos);
  EXPECT_NE(error_of([&] { read_text(put("plain.gz", "just text")); }).find("is not valid gzip data"), std::string::npos);
  EXPECT_NE(error_of([&] { read_text(put("tail.gz", packed + "garbage")); }).find("is not valid gzip data"), std::string::npos);
  EXPECT_EQ(error_of([&] { read_text(directory_ / "absent.txt"); }).rfind("3 ", 0), 0u);
}

TEST_F(Dataset, ReadsJsonLinesAndNamesTheBadOne) {
  const std::string lines = "{\"a\":1}\r\n\n   \n[2]\n\"three\"";
  for (const auto& path : {put("a.jsonl", lines), put("a.jsonl.gz", gzip(lines))}) {
    const auto values = read_jsonl(path);
    ASSERT_EQ(values.size(), 3u);
    EXPECT_EQ(values[0]["a"], 1);
    EXPECT_EQ(values[2], "three");
  }
  const std::string path = put("bad.jsonl", "{}\n\n{\"a\":}\n");
  EXPECT_NE(error_of([&] { read_jsonl(path); }).find("3 [text] " + path + " line 3: "), std::string::npos);
  EXPECT_TRUE(read_jsonl(put("empty.jsonl", "")).empty());
}

TEST_F(Dataset, KnowsJsonLinesByName) {
  EXPECT_TRUE(is_jsonl("x.jsonl"));
  EXPECT_TRUE(is_jsonl("x.jsonl.gz"));
  EXPECT_FALSE(is_jsonl("x.json"));
  EXPECT_FALSE(is_jsonl("x.gz"));
  EXPECT_FALSE(is_jsonl("jsonl"));
}

TEST_F(Dataset, ReadsThePublishedProblems) {
  const std::string path = kShared + "/HumanEval.jsonl.gz";
  if (!path_exists(path)) GTEST_SKIP() << path << " is not there";
  const auto problems = read_jsonl(path);
  ASSERT_EQ(problems.size(), 164u);
  EXPECT_EQ(problems[163]["task_id"], "HumanEval/163");
}

}  // namespace
}  // namespace teeny::test
