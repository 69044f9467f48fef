// Ids, names, the cache's paths, the choice of files, listings and unfinished blobs. Downloads are tested by tests/hub.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "hub/cache.h"
#include "hub/names.h"
#include "hub/partial.h"
#include "hub/repo.h"
#include "hub/select.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny::hub {
namespace {
namespace fs = std::filesystem;
using Paths = std::vector<std::string>;

const std::string kCommit(40, 'a'), kSha(64, 'b');

HubId id_of(const std::string& text) { return parse_model_id(text).value(); }

std::string problem(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(HubId, Parts) {
  const HubId id = id_of("Qwen/Qwen2.5-0.5B@refs/pr/1:sub/x.gguf");
  EXPECT_EQ(id.repo, "Qwen/Qwen2.5-0.5B");
  EXPECT_EQ(id.revision, "refs/pr/1");
  EXPECT_EQ(id.file, "sub/x.gguf");
  EXPECT_EQ(id_of("a/b").revision, "main");
  EXPECT_TRUE(parse_dataset_id("a/b:c.txt")->dataset);
  EXPECT_FALSE(parse_dataset_id("a/b"));
}

TEST(HubId, NotIds) {
  for (const char* text : {"", "a", "/a", "a/", "a/b/c", "../a", "a/..", "./a", "a/b@", "a/b@..", "a/b@../c", "a/b@x y", "a/b:", "a/b:../c", "a/b:/c", "a--b/c", "-a/b", "a/b.", "a b/c", "a/b.gguf",
                           "runs/x.safetensors", "a/b@c/../d", "a/b:c\\d", "~/x", "C:/x", "a/b@/c", "a/b@c/"})
    EXPECT_FALSE(parse_model_id(text)) << text;
  EXPECT_FALSE(parse_model_id("a/" + std::string(97, 'x')));
  EXPECT_FALSE(parse_model_id(std::string("a/b\0c", 5)));
}

TEST(Names, Containment) {
  for (const char* good : {"a", "a/b.c", ".hidden", "a..b", "...", "naïve/日本.txt", "a b", "-x"}) EXPECT_TRUE(is_contained(good)) << good;
  for (const char* bad : {"", ".", "..", "/", "/a", "a/", "a//b", "a/./b", "a/../b", "../a", "a\\b", "C:", "C:x", "sub/c:x", "a\nb", "a\x7f", "\xff", "\xc0\xaf", "\xed\xa0\x80"}) EXPECT_FALSE(is_contained(bad)) << bad;
  EXPECT_FALSE(is_contained(std::string("a\0b", 3)));
  EXPECT_FALSE(is_contained(std::string(256, 'a')));
  EXPECT_TRUE(is_contained(std::string(255, 'a')));
  EXPECT_FALSE(is_contained(std::string(255, 'a') + "/" + std::string(255, 'a') + "/" + std::string(255, 'a') + "/" + std::string(255, 'a') + "/x"));
}

TEST(Names, AddressesAreEncoded) {
  EXPECT_EQ(url_path("a b/ü?#%.txt"), "a%20b/%C3%BC%3F%23%25.txt");
  EXPECT_EQ(url_part("refs/pr/1"), "refs%2Fpr%2F1");
}

class CacheTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("hub-" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  void put_blob(const RepoCache& cache, const std::string& content, const std::string& text) {
    fs::create_directories(cache.root() + "/blobs");
    std::ofstream(cache.blob(content)) << text;
  }
  fs::path folder_;
};

TEST_F(CacheTest, PathsAreThoseOfHuggingFaceHub) {
  const RepoCache cache("/c", id_of("Org/na.me-1"));
  EXPECT_EQ(cache.blob(kSha), "/c/models--Org--na.me-1/blobs/" + kSha);
  EXPECT_EQ(cache.pointer(kCommit, "a/b"), "/c/models--Org--na.me-1/snapshots/" + kCommit + "/a/b");
  EXPECT_EQ(cache.lock_path(kSha), "/c/.locks/models--Org--na.me-1/" + kSha + ".lock");
  EXPECT_EQ(RepoCache("/c", *parse_dataset_id("o/n:f")).root(), "/c/datasets--o--n");
  EXPECT_EQ(model_folder_name(cache.snapshot(kCommit)), "na.me-1");
  EXPECT_EQ(model_folder_name("/x/plain"), "plain");
  EXPECT_EQ(model_folder_name("snapshots/x"), "x");
}

TEST_F(CacheTest, LinksAreRelativeAndReplaced) {
  const RepoCache cache(folder_.string(), id_of("o/n"));
  put_blob(cache, kSha, "text");
  for (const char* path : {"top.txt", "sub/deep/x.txt"}) {
    cache.link(kCommit, path, kSha);
    EXPECT_EQ(read_file(cache.pointer(kCommit, path)), "text");
    EXPECT_TRUE(cache.is_linked(kCommit, path, kSha));
    EXPECT_FALSE(cache.is_linked(kCommit, path, kCommit));
  }
  EXPECT_EQ(fs::read_symlink(cache.pointer(kCommit, "top.txt")), "../../blobs/" + kSha);
  cache.link(kCommit, "top.txt", kCommit);
  EXPECT_TRUE(cache.is_linked(kCommit, "top.txt", kCommit));
  EXPECT_EQ(cache.files(kCommit), Paths{"sub/deep/x.txt"});  // top.txt has no blob now
  EXPECT_NE(problem([&] { cache.link(kCommit, "../x", kSha); }), "");
}

TEST_F(CacheTest, References) {
  const RepoCache cache(folder_.string(), id_of("o/n"));
  EXPECT_FALSE(cache.read_ref("main"));
  cache.write_ref("refs/pr/1", kCommit);
  EXPECT_EQ(cache.read_ref("refs/pr/1"), kCommit);
  EXPECT_EQ(read_file(cache.root() + "/refs/refs/pr/1"), kCommit);
  EXPECT_EQ(cache.read_ref(kCommit), kCommit);
  std::ofstream(cache.root() + "/refs/bad") << "../../x";
  EXPECT_NE(problem([&] { cache.read_ref("bad"); }).find("commit"), std::string::npos);
}

TEST_F(CacheTest, BlobsAreFilesOfTheRightSize) {
  const RepoCache cache(folder_.string(), id_of("o/n"));
  EXPECT_FALSE(cache.has_blob(kSha, 4));
  put_blob(cache, kSha, "text");
  EXPECT_TRUE(cache.has_blob(kSha, 4));
  EXPECT_FALSE(cache.has_blob(kSha, 5));
  fs::remove(cache.blob(kSha));
  fs::create_symlink("/etc/hostname", cache.blob(kSha));
  EXPECT_NE(problem([&] { cache.has_blob(kSha, 4); }), "");
}

TEST_F(CacheTest, PartialKeepsBlocksAcrossRuns) {
  const std::string blob = (folder_ / "blob").string(), data(size_t(kBlockBytes) + 10, 'x');
  const Context context;
  {
    Partial partial(blob, data.size());
    EXPECT_EQ(partial.claim(9), (std::pair<size_t, size_t>{0, 2}));
    EXPECT_FALSE(partial.claim(9));
    partial.set_etag("\"e\"");
    partial.write(0, std::as_bytes(std::span(data)).first(kBlockBytes));
    partial.mark(0);
  }
  Partial partial(blob, data.size());
  EXPECT_TRUE(partial.resumed());
  EXPECT_EQ(partial.etag(), "\"e\"");
  EXPECT_EQ(partial.bytes_done(), kBlockBytes);
  EXPECT_EQ(partial.claim(9), (std::pair<size_t, size_t>{1, 1}));
  partial.write(kBlockBytes, std::as_bytes(std::span(data)).subspan(kBlockBytes));
  partial.mark(1);
  EXPECT_TRUE(partial.finish(sha256_hex(data), context));
  EXPECT_EQ(read_file(blob), data);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(CacheTest, PartialOfOtherContentIsDropped) {
  const std::string blob = (folder_ / "blob").string();
  const Context context;
  Partial(blob, 5).set_etag("W/\"weak\"");
  Partial partial(blob, 5);
  EXPECT_EQ(partial.etag(), "");
  partial.write(0, std::as_bytes(std::span("hello", 5)));
  EXPECT_FALSE(partial.finish(kSha, context));
  EXPECT_TRUE(fs::is_empty(folder_));
  Partial again(blob, 5);
  again.write(0, std::as_bytes(std::span("hello", 5)));
  EXPECT_TRUE(again.finish("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0", context));  // git hash-object
}

TEST_F(CacheTest, PartialOfAnotherSizeBeginsAnew) {
  const std::string blob = (folder_ / "blob").string();
  { Partial(blob, 5).mark(0); }
  EXPECT_TRUE(Partial(blob, 5).resumed());
  EXPECT_FALSE(Partial(blob, 6).resumed());
}

TEST(Select, Safetensors) {
  const HubId id = id_of("o/n");
  EXPECT_EQ(select_model_files({"config.json", "model.safetensors", "pytorch_model.bin", "onnx/model.onnx", "README.md", "tokenizer.json", "sub/model.safetensors"}, id).files,
            (Paths{"config.json", "tokenizer.json", "model.safetensors"}));
  const Paths sharded{"config.json", "model.safetensors.index.json", "a.safetensors", "b.safetensors", "consolidated.safetensors"};
  const Selection selection = select_model_files(sharded, id);
  EXPECT_EQ(selection.index, "model.safetensors.index.json");
  EXPECT_EQ(shards_of(R"({"weight_map":{"x":"b.safetensors","y":"a.safetensors","z":"b.safetensors"}})", sharded, id), (Paths{"a.safetensors", "b.safetensors"}));
  for (const char* bad : {R"({"weight_map":{"x":"../a.safetensors"}})", R"({"weight_map":{"x":"consolidated.safetensors"}})", R"({"weight_map":{"x":1}})", "{}", "[]", "x"})
    EXPECT_NE(problem([&] { shards_of(bad, sharded, id); }), "") << bad;
  EXPECT_EQ(select_model_files({"config.json", "gptq_model-4bit.safetensors"}, id).files.back(), "gptq_model-4bit.safetensors");
  EXPECT_NE(problem([&] { select_model_files({"model.safetensors"}, id); }).find("config.json"), std::string::npos);
  EXPECT_NE(problem([&] { select_model_files({"config.json", "pytorch_model.bin"}, id); }).find("pickled"), std::string::npos);
  EXPECT_NE(problem([&] { select_model_files({"config.json", "adapter_model.safetensors"}, id); }), "");
  EXPECT_NE(problem([&] { select_model_files({}, id); }), "");
}

TEST(Select, Gguf) {
  const Paths paths{"m-Q4_K_M.gguf", "m-Q4_K_S.gguf", "big/m-Q8_0-00001-of-00002.gguf", "big/m-Q8_0-00002-of-00002.gguf", "mmproj-m.gguf", "m.imatrix.gguf"};
  EXPECT_EQ(select_model_files(paths, id_of("o/n:q4_k_s")).main, "m-Q4_K_S.gguf");
  EXPECT_EQ(select_model_files(paths, id_of("o/n:Q8_0")).files.size(), 2u);
  EXPECT_EQ(select_model_files(paths, id_of("o/n:big/m-Q8_0-00002-of-00002.gguf")).main, "big/m-Q8_0-00001-of-00002.gguf");
  EXPECT_NE(problem([&] { select_model_files(paths, id_of("o/n:Q4_K")); }).find("nothing for"), std::string::npos);
  EXPECT_NE(problem([&] { select_model_files(paths, id_of("o/n")); }).find("several GGUF"), std::string::npos);
  EXPECT_NE(problem([&] { select_model_files({"m-Q8_0-00001-of-00002.gguf"}, id_of("o/n")); }).find("lacks"), std::string::npos);
  EXPECT_EQ(select_model_files({"m.gguf"}, id_of("o/n")).main, "m.gguf");
}

TEST(ListingTest, FieldsAreChecked) {
  const HubId id = id_of("o/n");
  const auto parse = [&](const std::string& text) { return parse_listing(parse_json(text, "test", "listing"), id); };
  const std::string head = R"({"sha":")" + kCommit + R"(","siblings":[)";
  const Listing good = parse(head + R"({"rfilename":"a","size":3,"blobId":")" + kCommit + R"("},{"rfilename":"b","lfs":{"sha256":")" + kSha + R"(","size":9}},{"rfilename":"c"}]})");
  EXPECT_EQ(good.find("b")->content, kSha);
  EXPECT_EQ(good.find("b")->bytes, 9u);
  EXPECT_FALSE(good.find("c")->bytes);
  for (const char* bad : {R"({"rfilename":"../a"})", R"({"rfilename":"a"},{"rfilename":"a"})", R"({"rfilename":"a","size":-1})", R"({"rfilename":"a","size":1e30})", R"({"rfilename":5})", "1",
                          R"({"rfilename":"a","blobId":"x"})", R"({"rfilename":"a","size":1,"lfs":{"size":2}})", R"({"rfilename":"a\u0000b"})"})
    EXPECT_NE(problem([&] { parse(head + bad + "]}"); }), "") << bad;
}

}  // namespace
}  // namespace teeny::hub
