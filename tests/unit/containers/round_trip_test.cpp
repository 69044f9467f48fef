// Both containers: what a sink wrote, a source reads; shards, splits, pieces from several threads, and sinks used wrongly.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "container_files.h"
#include "teeny/containers/sink.h"
#include "teeny/containers/source.h"

namespace teeny {
namespace {
using test::expect_error;
using test::GgufFile;
using test::raw;
using test::safetensors_bytes;
using test::TempDir;

std::vector<std::byte> pattern(uint64_t bytes, unsigned seed) {
  std::vector<std::byte> out(bytes);
  for (size_t i = 0; i < out.size(); ++i) out[i] = std::byte((i * 131 + seed * 17 + i / 251) & 255);
  return out;
}

std::vector<TensorSpec> plan() {
  return {{"scalar", DType::U8, {}},       {"model.embed_tokens.weight", DType::BF16, {10, 6}}, {"empty", DType::F32, {0, 4}},
          {"ids", DType::I32, {3}},         {"wide", DType::F64, {2, 2}},                        {"half", DType::F16, {7}}};
}

void put_all(TensorSink& sink, const std::vector<TensorSpec>& tensors) {
  for (size_t i = tensors.size(); i-- > 0;) sink.put(tensors[i].name, pattern(tensors[i].bytes(), unsigned(i)));
}

void expect_all(const TensorSource& source, const std::vector<TensorSpec>& tensors) {
  ASSERT_EQ(source.tensors().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& info = source.at(tensors[i].name);
    EXPECT_EQ(info.dtype, tensors[i].dtype);
    EXPECT_EQ(info.shape, tensors[i].shape);
    EXPECT_EQ(source.read(info), pattern(tensors[i].bytes(), unsigned(i))) << info.name;
  }
}

TEST(SafetensorsSink, RoundTripOfOneFile) {
  TempDir dir;
  auto sink = create_safetensors_sink(dir.path(), plan());
  put_all(*sink, plan());
  EXPECT_FALSE(path_exists(dir.path("model.safetensors")));  // no name before finish()
  sink->finish();
  EXPECT_FALSE(path_exists(dir.path("model.safetensors.index.json")));
  const auto source = open_source(dir.path());
  expect_all(*source, plan());
  EXPECT_EQ(source->tensors()[0].name, "wide");  // wide types first
  for (const auto& tensor : source->tensors()) EXPECT_EQ(tensor.offset % uint64_t(traits(tensor.dtype).bytes), 0u) << tensor.name;
  const auto text = read_file(dir.path("model.safetensors"));
  EXPECT_EQ(uint64_t(static_cast<unsigned char>(text[0])) % 8, 0u);
  EXPECT_EQ(text.substr(8, 33), R"({"__metadata__":{"format":"pt"},")");
  EXPECT_EQ(source->total_bytes(), 1u + 120 + 12 + 32 + 14);
  expect_all(*open_source(dir.path("model.safetensors")), plan());
}

TEST(SafetensorsSink, ShardsAndIndex) {
  TempDir dir;
  std::vector<TensorSpec> tensors;
  for (int i = 0; i < 7; ++i) tensors.push_back({fmt::format("t{}", i), DType::F32, {i == 3 ? 100 : 10}});
  auto sink = create_safetensors_sink(dir.path(), tensors, 90);  // 2 small ones a shard, the large one alone
  put_all(*sink, tensors);
  sink->finish();
  const auto source = open_source(dir.path());
  expect_all(*source, tensors);
  EXPECT_EQ(source->files().size(), 5u);
  const Json index = read_json_file(dir.path("model.safetensors.index.json"), "test");
  EXPECT_EQ(index["metadata"]["total_size"], 640);
  EXPECT_EQ(index["weight_map"]["t3"], "model-00003-of-00005.safetensors");
  EXPECT_EQ(index["weight_map"].size(), 7u);
}

TEST(SafetensorsSink, PiecesFromThreads) {
  TempDir dir;
  const std::vector<TensorSpec> tensors = {{"a", DType::U8, {100'000}}, {"b", DType::F32, {25'000}}};
  auto sink = create_safetensors_sink(dir.path(), tensors);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < tensors.size(); ++i) {
        const auto bytes = pattern(100'000, unsigned(i));
        for (size_t piece = t; piece < 100; piece += 4) sink->put(tensors[i].name, std::span(bytes).subspan(piece * 1000, 1000), piece * 1000);
      }
    });
  for (auto& thread : threads) thread.join();
  sink->finish();
  expect_all(*open_source(dir.path()), tensors);
}

TEST(Sinks, RefuseWrongUse) {
  TempDir dir;
  const std::vector<TensorSpec> tensors = {{"a", DType::U8, {10}}, {"b", DType::F32, {2}}};
  for (const bool gguf : {false, true}) {
    SCOPED_TRACE(gguf);
    const std::vector<TensorSpec> planned = gguf ? std::vector<TensorSpec>{{"a", DType::I8, {10}}, {"b", DType::F32, {2}}} : tensors;
    const auto path = gguf ? dir.path("m.gguf") : dir.path("model.safetensors");
    auto sink = gguf ? create_gguf_sink(path, {}, planned) : create_safetensors_sink(dir.path(), planned);
    const auto bytes = pattern(16, 0);
    const auto first = [&](size_t n) { return std::span(bytes).first(n); };
    expect_error(ErrorKind::Bug, "was not planned", [&] { sink->put("c", first(1)); });
    expect_error(ErrorKind::Bug, "do not fit", [&] { sink->put("a", first(11)); });
    expect_error(ErrorKind::Bug, "do not fit", [&] { sink->put("a", first(1), 10); });
    expect_error(ErrorKind::Bug, "do not fit", [&] { sink->put("a", first(1), ~uint64_t(0)); });
    sink->put("a", first(4), 2);
    expect_error(ErrorKind::Bug, "written twice", [&] { sink->put("a", first(3), 0); });
    expect_error(ErrorKind::Bug, "written twice", [&] { sink->put("a", first(3), 5); });
    expect_error(ErrorKind::Bug, "written twice", [&] { sink->put("a", first(2), 3); });
    sink->put("b", first(8));
    sink->put("a", first(4), 6);
    expect_error(ErrorKind::Bug, "8 of 10 bytes were written", [&] { sink->finish(); });
    EXPECT_FALSE(path_exists(path));
    sink->put("a", first(2), 0);
    sink->finish();
    EXPECT_TRUE(path_exists(path));
    expect_error(ErrorKind::Bug, "after the file was finished", [&] { sink->put("a", first(1)); });
  }
  { auto dropped = create_gguf_sink(dir.path("dropped.gguf"), {}, {{"a", DType::F32, {4}}}); }
  EXPECT_FALSE(path_exists(dir.path("dropped.gguf")) || path_exists(dir.path("dropped.gguf.part")));
  expect_error(ErrorKind::Bug, "planned twice", [&] { create_gguf_sink(dir.path("x.gguf"), {}, {{"a", DType::F32, {4}}, {"a", DType::F32, {4}}}); });
  expect_error(ErrorKind::Input, "Q4_0, which safetensors does not know", [&] { create_safetensors_sink(dir.path(), {{"a", DType::Q4_0, {32}}}); });
  expect_error(ErrorKind::Input, "not valid UTF-8", [&] { create_safetensors_sink(dir.path(), {{"\xff", DType::U8, {32}}}); });
  expect_error(ErrorKind::Input, "U8, which GGUF does not know", [&] { create_gguf_sink(dir.path("x.gguf"), {}, {{"a", DType::U8, {4}}}); });
  expect_error(ErrorKind::Input, "cannot be in a GGUF file", [&] { create_gguf_sink(dir.path("x.gguf"), {}, {{std::string(64, 'n'), DType::F32, {4}}}); });
  expect_error(ErrorKind::Input, "cannot be in a GGUF file", [&] { create_gguf_sink(dir.path("x.gguf"), {}, {{"a", DType::F32, {1, 1, 1, 1, 1}}}); });
  expect_error(ErrorKind::Input, "is empty", [&] { create_gguf_sink(dir.path("x.gguf"), {}, {{"a", DType::F32, {0}}}); });
  expect_error(ErrorKind::Input, "rows of 33", [] { TensorSpec{"a", DType::Q4_0, {33}}.bytes(); });
  expect_error(ErrorKind::Device, "cannot be created", [&] { create_safetensors_sink(dir.path("absent"), tensors); });
}

GgufMetadata rich_metadata() {
  GgufMetadata m;
  m.set_string("general.architecture", "qwen2");
  m.set_u32("general.alignment", 64);  // a fact of another file: must not be copied
  m.set("split.count", {2, 0, uint64_t(3)});
  m.set_u32("qwen2.block_count", 4294967295u);
  m.set_f32("qwen2.eps", 1e-6f);
  m.set_bool("tokenizer.ggml.add_bos_token", false);
  m.set_strings("tokens", {"", "\xc4\xa0the", std::string("a\0b", 3)});
  m.set_i32s("types", {1, -2, 3});
  m.set_f32s("scores", {0.5, -1000, std::numeric_limits<double>::infinity()});
  m.set("u8", {0, 0, uint64_t(255)});
  m.set("i8", {1, 0, int64_t(-128)});
  m.set("i16", {3, 0, int64_t(-32768)});
  m.set("i64", {11, 0, std::numeric_limits<int64_t>::min()});
  m.set("u64", {10, 0, std::numeric_limits<uint64_t>::max()});
  m.set("f64", {12, 0, 0.1});
  m.set("flags", {9, 7, GgufArray(std::vector<bool>{true, false, true})});
  m.set("longs", {9, 10, GgufArray(std::vector<uint64_t>(3000, 7))});
  m.set("none", {9, 8, GgufArray(std::vector<std::string>{})});
  return m;
}

TEST(GgufSink, RoundTrip) {
  TempDir dir;
  const auto path = dir.path("m.gguf");
  const std::vector<TensorSpec> tensors = {{"token_embd.weight", DType::Q4_K, {3, 512}}, {"output_norm.weight", DType::F32, {5}},
                                           {"x", DType::BF16, {2, 3, 4, 5}},             {"i", DType::I8, {1}}};
  auto sink = create_gguf_sink(path, rich_metadata(), tensors);
  put_all(*sink, tensors);
  sink->finish();
  const auto source = open_source(path);
  expect_all(*source, tensors);
  EXPECT_EQ(source->kind(), ContainerKind::Gguf);
  EXPECT_EQ(source->files()[0].size() % 32, 0u);
  for (const auto& tensor : source->tensors()) EXPECT_EQ(tensor.offset % 32, 0u);
  const auto& m = *source->gguf();
  EXPECT_EQ(m.find("general.alignment"), nullptr);
  EXPECT_EQ(m.find("split.count"), nullptr);
  EXPECT_EQ(m.entries()[0].first, "general.architecture");
  EXPECT_EQ(m.integer("qwen2.block_count"), 4294967295);
  EXPECT_EQ(m.number("qwen2.eps"), double(1e-6f));
  EXPECT_EQ(m.boolean("tokenizer.ggml.add_bos_token"), false);
  EXPECT_EQ(m.strings("tokens")->at(2), std::string("a\0b", 3));
  EXPECT_EQ(m.integers("types"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(m.numbers("scores")->at(1), -1000);
  EXPECT_EQ(m.integer("i8"), -128);
  EXPECT_EQ(m.integer("i64"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(m.number("f64"), 0.1);
  EXPECT_EQ(m.integers("longs")->size(), 3000u);
  EXPECT_TRUE(m.strings("none")->empty());
  EXPECT_EQ(std::get<std::vector<bool>>(std::get<GgufArray>(m.find("flags")->value)), (std::vector<bool>{true, false, true}));
  // Written again from what was read: the same bytes.
  auto again = create_gguf_sink(dir.path("n.gguf"), m, tensors);
  put_all(*again, tensors);
  again->finish();
  EXPECT_EQ(sha256_file(path), sha256_file(dir.path("n.gguf")));
}

TEST(GgufSink, PartsAsLlamaCppSplits) {
  TempDir dir;
  std::vector<TensorSpec> tensors;
  for (int i = 0; i < 7; ++i) tensors.push_back({fmt::format("t{}", i), DType::F32, {i == 3 ? 100 : 10}});
  GgufMetadata metadata;
  metadata.set_string("general.architecture", "qwen2");
  const auto paths = gguf_part_paths(dir.path("m.gguf"), tensors, 90);
  ASSERT_EQ(paths.size(), 5u);
  EXPECT_EQ(paths[0], dir.path("m-00001-of-00005.gguf"));
  auto sink = create_gguf_sink(dir.path("m.gguf"), metadata, tensors, 90);
  put_all(*sink, tensors);
  for (const auto& path : paths) EXPECT_FALSE(path_exists(path));
  sink->finish();
  for (const auto& path : {paths[0], paths[4]}) {
    const auto source = open_source(path);
    expect_all(*source, tensors);
    EXPECT_EQ(source->files().size(), 5u);
    EXPECT_EQ(source->gguf()->string("general.architecture"), "qwen2");
    EXPECT_EQ(source->gguf()->find("split.count")->type, 2u);  // u16
    EXPECT_EQ(source->gguf()->integer("split.tensors.count"), 7);
  }
  EXPECT_EQ(gguf_part_paths(dir.path("m.gguf"), tensors, 0), std::vector<std::string>{dir.path("m.gguf")});
  EXPECT_EQ(gguf_part_paths(dir.path("m.gguf"), tensors, 640), std::vector<std::string>{dir.path("m.gguf")});
  // Written again as one file, the keys of the split are gone.
  create_gguf_sink(dir.path("one.gguf"), *open_source(paths[0])->gguf(), {})->finish();
  EXPECT_EQ(open_source(dir.path("one.gguf"))->gguf()->find("split.count"), nullptr);
}

TEST(GgufMetadata, TypesAreChecked) {
  const GgufMetadata m = rich_metadata();
  EXPECT_EQ(m.integer("absent"), std::nullopt);
  EXPECT_EQ(m.strings("absent"), nullptr);
  expect_error(ErrorKind::Input, "general.architecture: has the type string, expected an integer", [&] { (void)m.integer("general.architecture"); });
  expect_error(ErrorKind::Input, "u64: is 18446744073709551615, beyond 63 bits", [&] { (void)m.integer("u64"); });
  expect_error(ErrorKind::Input, "expected a number", [&] { (void)m.number("tokens"); });
  expect_error(ErrorKind::Input, "expected a bool", [&] { (void)m.boolean("u8"); });
  expect_error(ErrorKind::Input, "expected a string", [&] { (void)m.string("u8"); });
  expect_error(ErrorKind::Input, "has the type an array of i32, expected an array of strings", [&] { (void)m.strings("types"); });
  expect_error(ErrorKind::Input, "expected an array of integers", [&] { (void)m.integers("scores"); });
  expect_error(ErrorKind::Input, "expected an array of numbers", [&] { (void)m.numbers("flags"); });
  TempDir dir;
  for (const auto& value : {GgufValue{0, 0, uint64_t(256)}, GgufValue{5, 0, int64_t(1) << 31}, GgufValue{4, 0, int64_t(-1)}, GgufValue{8, 0, uint64_t(1)},
                            GgufValue{4, 0, std::string("x")}, GgufValue{6, 0, true}, GgufValue{9, 4, uint64_t(1)}, GgufValue{4, 0, GgufArray(std::vector<int64_t>{1})}}) {
    GgufMetadata bad;
    bad.set("k", value);
    EXPECT_THROW(create_gguf_sink(dir.path("bad.gguf"), bad, {}), Error);
  }
}

TEST(GgufSource, VersionTwoAndScalarsAndOtherAlignment) {
  TempDir dir;
  GgufFile f;
  f.version = 2;
  f.alignment = 64;
  f.u32("general.alignment", 64).tensor("a", {}, 0, 4).tensor("b", {3, 2}, 1, 12);
  const auto source = open_source(dir.write("v2.gguf", f.bytes()));
  EXPECT_EQ(source->at("a").shape, std::vector<int64_t>{});
  EXPECT_EQ(source->at("b").shape, (std::vector<int64_t>{2, 3}));  // torch order
  EXPECT_EQ(source->at("b").offset - source->at("a").offset, 64u);
  EXPECT_EQ(source->find("c"), nullptr);
  expect_error(ErrorKind::Input, "has no tensor \"c\"", [&] { (void)source->at("c"); });
}

TEST(GgufSource, SplitFiles) {
  TempDir dir;
  const auto part = [&](int number, const char* tensor, const char* name, int total = 3) {
    GgufFile f;
    if (number == 0) f.text("general.name", "whole");
    f.key("split.no", 2, raw(uint16_t(number))).key("split.count", 2, raw(uint16_t(3))).key("split.tensors.count", 5, raw(int32_t(total)));
    f.tensor(tensor, {4}, 0, 16);
    return dir.write(name, f.bytes());
  };
  part(0, "a", "m-00001-of-00003.gguf");
  const auto second = part(1, "b", "m-00002-of-00003.gguf");
  expect_error(ErrorKind::Input, "part 3 of 3 of the split file is absent", [&] { open_source(second); });
  part(2, "c", "m-00003-of-00003.gguf");
  for (const char* name : {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"}) {
    const auto source = open_source(dir.path(name));
    EXPECT_EQ(source->tensors().size(), 3u);
    EXPECT_EQ(source->files().size(), 3u);
    EXPECT_EQ(source->at("c").file, 2u);
    EXPECT_EQ(source->gguf()->string("general.name"), "whole");
  }
  part(2, "a", "m-00003-of-00003.gguf");
  expect_error(ErrorKind::Input, "tensor \"a\" is also in", [&] { open_source(second); });
  part(1, "c", "m-00003-of-00003.gguf");
  expect_error(ErrorKind::Input, "the parts belong to different files", [&] { open_source(second); });
  part(0, "a", "m-00001-of-00003.gguf", 4);
  part(2, "c", "m-00003-of-00003.gguf");
  expect_error(ErrorKind::Input, "split.tensors.count is 4, the parts hold 3", [&] { open_source(second); });
}

TEST(SafetensorsSource, LegalOddities) {
  TempDir dir;
  // Padding by spaces, an unaligned F32, a scalar, tensors of no bytes that share a place, names that are no paths.
  const auto bytes = safetensors_bytes(
      R"({"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"../../x":{"dtype":"F32","shape":[],"data_offsets":[1,5]},)"
      R"("e1":{"dtype":"F32","shape":[0],"data_offsets":[5,5]},"":{"dtype":"I8","shape":[2,0],"data_offsets":[5,5]},)"
      R"("<script>":{"shape":[1],"data_offsets":[5,6],"dtype":"BOOL"},"__metadata__":{"format":"pt","x":""}}   )", 6);
  const auto source = open_source(dir.write("odd.safetensors", bytes));
  EXPECT_EQ(source->tensors().size(), 5u);
  EXPECT_EQ(source->at("../../x").elements(), 1);
  EXPECT_EQ(source->read(source->at("../../x")).size(), 4u);
  EXPECT_EQ(source->at("").bytes, 0u);
  EXPECT_TRUE(source->directory().empty());
  EXPECT_EQ(open_source(dir.write("none.safetensors", safetensors_bytes("{}")))->tensors().size(), 0u);
}

TEST(SafetensorsSource, OnlyFileOfAnotherName) {
  TempDir dir;
  dir.write("gptq_model-4bit-128g.safetensors", safetensors_bytes("{}"));
  expect_error(ErrorKind::Input, "has neither", [&] { open_source(dir.path()); });
  dir.write("config.json", "{}");
  EXPECT_EQ(open_source(dir.path())->directory(), dir.path());
}

TEST(Fingerprint, FollowsTheFiles) {
  TempDir dir;
  const std::string a = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", b = R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  const auto path = dir.write("m.safetensors", safetensors_bytes(a, 1));
  const auto first = fingerprint(*open_source(path));
  EXPECT_EQ(first.size(), 64u);
  EXPECT_EQ(fingerprint(*open_source(path)), first);
  std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) + std::chrono::seconds(1));
  EXPECT_NE(fingerprint(*open_source(path)), first);
  const auto time = std::filesystem::last_write_time(path);
  const auto second = fingerprint(*open_source(path));
  dir.write("m.safetensors", safetensors_bytes(b, 1));
  std::filesystem::last_write_time(path, time);
  EXPECT_NE(fingerprint(*open_source(path)), second);
}

TEST(ShippedModel, Opens) {
  const auto source = open_source(std::string(TEENY_TEST_SOURCE_DIR) + "/configs/models/teeny-demo-7m");
  EXPECT_EQ(source->config()["model_type"], "qwen2");
  EXPECT_EQ(source->at("model.embed_tokens.weight").shape, (std::vector<int64_t>{4096, 256}));
  EXPECT_EQ(source->at("model.layers.7.mlp.down_proj.weight").dtype, DType::BF16);
  // A file that is cut while it is open is an error, not a signal.
  TempDir dir;
  std::filesystem::copy_file(source->files()[0].path(), dir.path("model.safetensors"));
  const auto copy = open_source(dir.path("model.safetensors"));
  std::filesystem::resize_file(dir.path("model.safetensors"), 100'000);
  expect_error(ErrorKind::Input, "the file is truncated", [&] { (void)copy->read(copy->tensors().back()); });
}

}  // namespace
}  // namespace teeny
