// Every way in which a GGUF file can be wrong (the published advisories among them), each with the message it must give.
#include <gtest/gtest.h>

#include "container_files.h"
#include "containers/gguf/header.h"
#include "teeny/containers/source.h"

namespace teeny {
namespace {
using test::expect_error;
using test::gguf_text;
using test::GgufFile;
using test::raw;
using test::TempDir;

struct Case {
  std::string name, bytes, expected;
};

GgufFile file() { return GgufFile().text("general.architecture", "llama"); }
template <class Change>
std::string with(Change change) {
  GgufFile f = file();
  change(f);
  return f.bytes();
}
std::string cut(std::string bytes, size_t size) {
  bytes.resize(size);
  return bytes;
}

std::vector<Case> start_cases() {
  return {
      {"empty", "", "the magic at byte 0 needs 4 bytes, the file ends at byte 0"},
      {"three bytes", "GGU", "the magic"},
      {"wrong magic", "GGML" + std::string(60, '\0'), "begins with \"GGML\""},
      {"magic only", "GGUF", "the version at byte 4 needs 4 bytes"},
      {"version 0", with([](auto& f) { f.version = 0; }), "GGUF version 0"},
      {"version 1", with([](auto& f) { f.version = 1; }), "GGUF version 1, which no tool writes"},
      {"version 4", with([](auto& f) { f.version = 4; }), "GGUF version 4 at byte 4"},
      {"big endian", with([](auto& f) { f.version = 0x03000000; }), "big-endian"},
      {"no counts", cut(file().bytes(), 12), "the number of tensors at byte 8 needs 8 bytes"},
      {"tensor count 2^63", with([](auto& f) { f.n_tensors = 1ull << 63; }), "claims 9223372036854775808 tensors"},
      {"tensor count -1", with([](auto& f) { f.n_tensors = ~0ull; }), "claims 18446744073709551615 tensors"},
      {"tensor count a little too big", with([](auto& f) { f.n_tensors = 5; f.pad_header = false; }), "claims 5 tensors"},
      {"tensor count that wraps with sizeof", with([](auto& f) { f.n_tensors = ~0ull / 88 + 1; }), "more than the file can hold"},
      {"key count 2^61", with([](auto& f) { f.n_keys = 1ull << 61; }), "claims 2305843009213693952 keys"},
      {"key count -1", with([](auto& f) { f.n_keys = ~0ull; }), "keys at byte 16"},
      {"43 bytes", "GGUF" + raw(3u) + raw(uint64_t(0)) + raw(uint64_t(1)) + raw(uint64_t(1) << 40) + "abcdefghijk", "has the length 1099511627776"},
  };
}

std::vector<Case> key_cases() {
  return {
      {"key length 2^64-1", "GGUF" + raw(3u) + raw(uint64_t(0)) + raw(uint64_t(1)) + raw(~uint64_t(0)) + std::string(40, 'a'), "has the length 18446744073709551615"},
      {"key over 64 KB", with([](auto& f) { f.u32(std::string(70'000, 'k'), 1); }), "at most 65536 is accepted"},
      {"key past end", "GGUF" + raw(3u) + raw(uint64_t(0)) + raw(uint64_t(1)) + raw(uint64_t(50)) + "abcde", "needs 50 bytes"},
      {"empty key", with([](auto& f) { f.u32("", 1); }), "key 1 at byte 69 is empty"},
      {"NUL in key", with([](auto& f) { f.u32(std::string_view("a\0b", 3), 1); }), "has a NUL in its name \"a\\x00b\""},
      {"duplicate key", with([](auto& f) { f.u32("a", 1).u32("a", 2); }), "key \"a\" at byte"},
      {"value type 13", with([](auto& f) { f.key("a", 13, "xxxx"); }), "key \"a\" has the unknown value type 13"},
      {"value type -1", with([](auto& f) { f.key("a", ~0u, "xxxx"); }), "unknown value type 4294967295"},
      {"no value", [] { auto f = file(); f.key("a", 10, ""); f.pad_header = false; return f.bytes(); }(), "key \"a\" at byte"},
      {"string value 2^64-1", with([](auto& f) { f.key("a", 8, raw(~uint64_t(0))); }), "key \"a\" at byte 82 has the length 18446744073709551615"},
      {"string value past end", with([](auto& f) { f.key("a", 8, raw(uint64_t(500))); }), "needs 500 bytes"},
      {"bool 2", with([](auto& f) { f.key("a", 7, "\2"); }), "has the bool 2"},
      {"array count 2^61", with([](auto& f) { f.array("a", 6, 1ull << 61, ""); }), "claims 2305843009213693952 elements of f32"},
      {"array count 2^64-1", with([](auto& f) { f.array("a", 10, ~0ull, ""); }), "claims 18446744073709551615 elements of u64"},
      {"array count too big for the file", with([](auto& f) { f.array("a", 4, 100, "xxxx"); }), "claims 100 elements of u32"},
      {"array of strings too big", with([](auto& f) { f.array("a", 8, 1000, ""); }), "claims 1000 elements of string"},
      {"array string past end", with([](auto& f) { f.array("a", 8, 1, raw(uint64_t(1) << 33)); }), "has the length 8589934592"},
      {"nested array", with([](auto& f) { f.array("a", 9, 1, raw(4u) + raw(uint64_t(0))); }), "is an array of arrays"},
      {"array of type 13", with([](auto& f) { f.array("a", 13, 1, "xxxxxxxx"); }), "array of the unknown type 13"},
      {"array of bools 3", with([](auto& f) { f.array("a", 7, 2, "\1\3"); }), "has the bool 3"},
      {"alignment 0", with([](auto& f) { f.u32("general.alignment", 0); }), "general.alignment is 0, expected a power of two"},
      {"alignment 3", with([](auto& f) { f.u32("general.alignment", 3); }), "general.alignment is 3"},
      {"alignment 2^31", with([](auto& f) { f.u32("general.alignment", 1u << 31); }), "general.alignment is 2147483648"},
      {"alignment u64", with([](auto& f) { f.key("general.alignment", 10, raw(uint64_t(32))); }), "general.alignment has the type u64, expected u32"},
      {"alignment string", with([](auto& f) { f.text("general.alignment", "32"); }), "general.alignment has the type string"},
      {"alignment array", with([](auto& f) { f.array("general.alignment", 4, 1, raw(32u)); }), "general.alignment has the type array"},
  };
}

std::vector<Case> tensor_cases() {
  const auto one = [](std::vector<int64_t> ne, uint32_t type, uint64_t bytes) {
    return with([&](auto& f) { f.tensor("w", ne, type, bytes); });
  };
  return {
      {"five dimensions", one({1, 1, 1, 1, 1}, 0, 4), "has 5 dimensions, at most 4"},
      {"2^31 dimensions", with([](auto& f) { f.tensors = gguf_text("w") + raw(1u << 31) + std::string(64, '\0'); f.n_tensors = 1; }), "has 2147483648 dimensions"},
      {"zero size", one({32, 0}, 8, 0), "has the size 0 in dimension 1"},
      {"zero inner size", one({0, 2}, 0, 0), "has the size 0 in dimension 0"},
      {"negative size", one({-32}, 0, 32), "has the size -32 in dimension 0"},
      {"INT64_MAX x 2", one({INT64_MAX, 2}, 0, 32), "overflows 63 bits"},
      {"bytes wrap", one({INT64_MAX / 2}, 0, 32), "overflows 63 bits"},
      {"padded size wraps", one({4, (1 << 30) - 1, (1 << 30) + 1}, 0, 32), "overflows 63 bits"},
      {"Q8_0 of 2^42 rows", one({32, (int64_t(1) << 42) + 1}, 8, 4096), "goes beyond the end of the file"},
      {"Q4_0 multiply before divide", one({5124095576030431008}, 2, 32), "goes beyond the end of the file"},
      {"row no multiple of the block", one({33}, 8, 34), "has rows of 33 elements, type Q8_0 needs a multiple of 32"},
      {"row no multiple of 256", one({128, 2}, 12, 144), "type Q4_K needs a multiple of 256"},
      {"removed type 4", one({32}, 4, 32), "has the ggml type 4, which is not supported"},
      {"unknown type 99", one({32}, 99, 32), "has the ggml type 99"},
      {"type -1", one({32}, ~0u, 32), "has the ggml type 4294967295"},
      {"long name", with([](auto& f) { f.tensor(std::string(64, 'n'), {1}, 0, 4); }), "has the length 64, at most 63 is accepted"},
      {"empty name", with([](auto& f) { f.tensor("", {1}, 0, 4); }), "has the name \"\""},
      {"NUL in name", with([](auto& f) { f.tensor(std::string_view("a\0b", 3), {1}, 0, 4); }), "has the name \"a\\x00b\""},
      {"duplicate name", with([](auto& f) { f.tensor("w", {1}, 0, 4).tensor("w", {1}, 0, 4); }), "tensor \"w\" at byte"},
      {"offset not zero", with([](auto& f) { f.tensor_at("w", {1}, 0, 4, 32); f.data_bytes = 64; }), "has the offset 32, expected 0"},
      {"overlap", with([](auto& f) { f.tensor("a", {32}, 0, 128).tensor_at("b", {32}, 0, 128, 64); }), "has the offset 64, expected 128"},
      {"hole", with([](auto& f) { f.tensor("a", {32}, 0, 128).tensor_at("b", {32}, 0, 128, 256); f.data_bytes = 384; }), "has the offset 256, expected 128"},
      {"offset 2^64-32", with([](auto& f) { f.tensor_at("a", {1}, 0, 4, ~0ull - 31); }), "has the offset 18446744073709551584"},
      {"not aligned", with([](auto& f) { f.tensor("a", {1}, 0, 4).tensor_at("b", {1}, 0, 4, 4); }), "has the offset 4, expected 32"},
      {"truncated data", cut(one({64}, 0, 256), one({64}, 0, 256).size() - 1), "tensor \"w\" of 256 bytes at offset 0 goes beyond the end of the file"},
      {"no data", [&] { auto f = file(); f.tensor("w", {64}, 0, 256); f.data_bytes = 0; return f.bytes(); }(), "goes beyond the end of the file"},
      {"trailing bytes", one({64}, 0, 256) + "x", "bytes after the last tensor"},
      {"a megabyte after", one({63}, 0, 252) + std::string(1 << 20, 'x'), "bytes after the last tensor"},
      {"tensor table cut", cut(one({64}, 0, 256), 85), "tensor \"w\" at byte"},
  };
}

std::vector<Case> split_cases() {
  const auto split = [](uint16_t no, uint16_t count) {
    return with([&](auto& f) { f.key("split.no", 2, raw(no)).key("split.count", 2, raw(count)); });
  };
  return {
      {"part 3 of 2", split(3, 2), "has split.no 3 and split.count 2"},
      {"name without numbers", split(0, 2), "its name must end -00001-of-00002.gguf"},
      {"count 65535", split(0, 65535), "split.count 65535"},
      {"count a string", with([](auto& f) { f.text("split.count", "2"); }), "split.count: has the type string, expected an integer"},
  };
}

void check(const std::vector<Case>& cases) {
  TempDir dir;
  for (const auto& test : cases) {
    SCOPED_TRACE(test.name);
    const auto path = dir.write("bad.gguf", test.bytes);
    expect_error(ErrorKind::Input, test.expected, [&] { open_source(path); });
  }
}

TEST(GgufMalformed, Start) { check(start_cases()); }
TEST(GgufMalformed, Keys) { check(key_cases()); }
TEST(GgufMalformed, Tensors) { check(tensor_cases()); }
TEST(GgufMalformed, Split) { check(split_cases()); }

TEST(GgufMalformed, ThirtyThousandKeysAreReadInLinearTime) {
  auto f = file();
  for (int i = 0; i < 300'000; ++i) f.u32(fmt::format("key.{}", i), 1);
  f.u32("key.7", 1);
  TempDir dir;
  expect_error(ErrorKind::Input, "key \"key.7\"", [&] { open_source(dir.write("many.gguf", f.bytes())); });
}

// Every prefix of a good file is refused, none crashes and none is taken for the whole.
TEST(GgufMalformed, EveryPrefixIsRefused) {
  auto f = file();
  f.u32("llama.block_count", 2).texts("tokenizer.ggml.tokens", {"a", "bc", ""}).array("x", 7, 3, std::string_view("\1\0\1", 3));
  f.tensor("a", {32, 2}, 8, 68).tensor("b", {5}, 0, 20);
  const std::string bytes = f.bytes();
  const size_t end = bytes.size() - 12;  // the padding after the last tensor may be missing
  const auto parse = [&](size_t size) { return parse_gguf_header(MemoryBytes(std::as_bytes(std::span(bytes).first(size))), "cut.gguf"); };
  for (size_t size = 0; size < end; ++size) EXPECT_THROW(parse(size), Error) << size;
  for (size_t size = end; size <= bytes.size(); ++size) EXPECT_EQ(parse(size).tensors.size(), 2u) << size;
}

}  // namespace
}  // namespace teeny
