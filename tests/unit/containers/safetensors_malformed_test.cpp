// Every way in which a safetensors file, an index or a directory can be wrong, each with the message it must give.
#include <gtest/gtest.h>

#include "container_files.h"
#include "teeny/containers/source.h"

namespace teeny {
namespace {
using test::expect_error;
using test::raw;
using test::safetensors_bytes;
using test::TempDir;

struct Case {
  std::string name, bytes, expected;
};

std::string header(uint64_t length, std::string_view rest) { return raw(length) + std::string(rest); }
std::string one(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return R"({"w":{"dtype":")" + std::string(dtype) + R"(","shape":)" + std::string(shape) + R"(,"data_offsets":)" + std::string(offsets) + "}}";
}

std::vector<Case> length_cases() {
  return {
      {"empty file", "", "has 0 bytes"},
      {"seven bytes", "1234567", "has 7 bytes"},
      {"only a length", header(2, ""), "the file is truncated"},
      {"length beyond file", header(100, "{}"), "the header length at byte 0 is 100"},
      {"length 2^63", header(1ull << 63, "{}"), "at most 100000000 is allowed"},
      {"length 2^64-1", header(~0ull, "{}"), "at most 100000000 is allowed"},
      {"length 2^64-5", header(~0ull - 4, "{}"), "at most 100000000 is allowed"},
      {"length 100000001", header(100'000'001, "{}"), "at most 100000000 is allowed"},
      {"length 0", header(0, "{}"), "the shortest header has 2 bytes"},
      {"length 1", header(1, "{}"), "the shortest header has 2 bytes"},
      {"length cuts the JSON", header(10, one("U8", "[1]", "[0,1]") + "\0"), "is not valid JSON"},
  };
}

std::vector<Case> json_cases() {
  const auto st = [](std::string_view json, size_t data = 0) { return safetensors_bytes(json, data); };
  return {
      {"space before", st(" {}"), "does not begin with '{'"},
      {"byte order mark", st("\xef\xbb\xbf{}"), "does not begin with '{'"},
      {"array", st("[]"), "does not begin with '{'"},
      {"NUL after the object", st(std::string_view("{}\0x", 4)), "NUL byte at byte 2"},
      {"two objects", st("{}{}"), "is not valid JSON at byte 3"},
      {"not closed", st(R"({"a")"), "is not valid JSON"},
      {"not UTF-8", st("{\"\xff\":1}"), "is not valid JSON"},
      {"lone surrogate", st(R"({"\ud800":1})"), "is not valid JSON"},
      {"NaN", st(R"({"w":NaN})"), "is not valid JSON"},
      {"comment", st("{/* */}"), "is not valid JSON"},
      {"deep arrays", st(R"({"w":)" + std::string(200'000, '[')), "must not be an array"},
      {"deep objects", st([] {
         std::string text;
         for (int i = 0; i < 100'000; ++i) text += R"({"a":)";
         return text;
       }()), "unknown field \"a\""},
      {"duplicate tensor", st(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1), "key \"w\" stands twice"},
      {"duplicate tensor, escaped", st(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0077":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1), "key \"w\" stands twice"},
      {"duplicate dtype", st(R"({"w":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 1), "two fields \"dtype\""},
      {"duplicate shape", st(R"({"w":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", 1), "two fields \"shape\""},
      {"duplicate metadata", st(R"({"__metadata__":{},"__metadata__":{}})"), "key \"__metadata__\" stands twice"},
      {"duplicate metadata key", st(R"({"__metadata__":{"a":"1","a":"2"}})"), "key \"a\" stands twice"},
      {"metadata number", st(R"({"__metadata__":{"a":1}})"), "__metadata__[\"a\"] must not be the number 1"},
      {"metadata object", st(R"({"__metadata__":{"a":{}}})"), "__metadata__[\"a\"] must not be an object"},
      {"metadata null", st(R"({"__metadata__":null})"), "__metadata__ must not be null"},
      {"metadata string", st(R"({"__metadata__":"x"})"), "__metadata__ must not be a string"},
      {"tensor is a number", st(R"({"w":3})"), "tensor \"w\" must not be the number 3"},
      {"tensor is a list", st(R"({"w":[]})"), "tensor \"w\" must not be an array"},
      {"unknown field", st(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1), "unknown field \"x\""},
      {"no dtype", st(R"({"w":{"shape":[1],"data_offsets":[0,1]}})", 1), "tensor \"w\" without \"dtype\""},
      {"no shape", st(R"({"w":{"dtype":"U8","data_offsets":[0,1]}})", 1), "without \"shape\""},
      {"no offsets", st(R"({"w":{"dtype":"U8","shape":[1]}})", 1), "without \"data_offsets\""},
      {"huge name", st("{\"" + std::string(70'000, 'a') + "\":1}"), "a name of 70000 bytes"},
  };
}

std::vector<Case> tensor_cases() {
  const auto st = [](std::string_view json, size_t data = 0) { return safetensors_bytes(json, data); };
  const std::string two = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":)";
  std::string rank = "[";
  for (int i = 0; i < 100'000; ++i) rank += i ? ",1" : "1";
  return {
      {"unknown dtype", st(one("Q9", "[1]", "[0,1]"), 1), "tensor \"w\" has the unknown dtype \"Q9\""},
      {"F4 dtype", st(one("F4", "[2]", "[0,1]"), 1), "unknown dtype \"F4\""},
      {"block dtype", st(one("Q4_0", "[32]", "[0,18]"), 18), "unknown dtype \"Q4_0\""},
      {"empty dtype", st(one("", "[32]", "[0,18]"), 18), "unknown dtype \"\""},
      {"dtype number", st(R"({"w":{"dtype":1,"shape":[1],"data_offsets":[0,1]}})", 1), "dtype of tensor \"w\" must not be the number 1"},
      {"shape string", st(R"({"w":{"dtype":"U8","shape":"1","data_offsets":[0,1]}})", 1), "shape of tensor \"w\" must not be a string"},
      {"negative size", st(one("U8", "[-1]", "[0,1]"), 1), "shape of tensor \"w\" must not be the negative number -1"},
      {"negative pair", st(one("U8", "[-1,-1]", "[0,1]"), 1), "must not be the negative number"},
      {"float size", st(one("U8", "[1.0]", "[0,1]"), 1), "shape of tensor \"w\" must not be the number 1.0"},
      {"exponent size", st(one("U8", "[1e0]", "[0,1]"), 1), "must not be the number 1e0"},
      {"string size", st(one("U8", "[\"1\"]", "[0,1]"), 1), "must not be a string"},
      {"null size", st(one("U8", "[null]", "[0,1]"), 1), "must not be null"},
      {"boolean size", st(one("U8", "[true]", "[0,1]"), 1), "must not be a boolean"},
      {"nested shape", st(one("U8", "[[1]]", "[0,1]"), 1), "must not be an array"},
      {"size 2^63", st(one("U8", "[9223372036854775808]", "[0,1]"), 1), "beyond 63 bits"},
      {"size 2^64", st(one("U8", "[18446744073709551616]", "[0,1]"), 1), "must not be the number"},
      {"product wraps", st(one("U8", "[4194305,4194305,211106198978564]", "[0,4]"), 4), "overflows 63 bits"},
      {"bytes wrap", st(one("F64", "[2305843009213693953]", "[0,8]"), 8), "overflows 63 bits"},
      {"overflow before zero", st(one("F32", "[4294967296,4294967296,0]", "[0,0]")), "overflows 63 bits"},
      {"rank 100000", st(one("U8", rank + "]", "[0,1]"), 1), "more than 16 dimensions"},
      {"too few bytes", st(one("F32", "[2]", "[0,4]"), 4), "needs 8 bytes, its data_offsets [0, 4] hold 4"},
      {"too many bytes", st(one("F32", "[2]", "[0,12]"), 12), "needs 8 bytes"},
      {"offsets backwards", st(one("U8", "[1]", "[1,0]"), 1), "run backwards"},
      {"offsets past end", st(one("U8", "[4]", "[0,4]"), 2), "ends at data byte 4, the file has 2"},
      {"offset 2^64-1", st(one("U8", "[1]", "[18446744073709551614,18446744073709551615]"), 1), "expected 0 (there is a hole before it)"},
      {"negative offset", st(one("U8", "[1]", "[-1,0]"), 1), "data_offsets of tensor \"w\" must not be the negative number -1"},
      {"float offset", st(one("U8", "[1]", "[0.0,1]"), 1), "must not be the number 0.0"},
      {"string offset", st(one("U8", "[1]", "[\"0\",1]"), 1), "must not be a string"},
      {"no offsets in list", st(one("U8", "[1]", "[]"), 1), "has 0 data_offsets"},
      {"one offset", st(one("U8", "[1]", "[0]"), 1), "has 1 data_offsets"},
      {"three offsets", st(one("U8", "[1]", "[0,1,2]"), 1), "more than 2 data_offsets"},
      {"offsets object", st(one("U8", "[1]", "{}"), 1), "must not be an object"},
      {"hole at start", st(one("U8", "[1]", "[1,2]"), 2), "begins at data byte 1, expected 0 (there is a hole before it)"},
      {"hole between", st(two + "[3,5]}}", 5), "tensor \"b\" begins at data byte 3, expected 2 (there is a hole"},
      {"overlap", st(two + "[1,3]}}", 3), "tensor \"b\" begins at data byte 1, expected 2 (it overlaps"},
      {"same region", st(two + "[0,2]}}", 2), "it overlaps another tensor"},
      {"trailing byte", st(one("U8", "[1]", "[0,1]"), 2), "has 1 bytes after the last tensor"},
      {"trailing without tensors", st("{}", 4), "has 4 bytes after the last tensor"},
      {"two bytes missing", st(two + "[2,4]}}", 2), "ends at data byte 4, the file has 2; the file is truncated"},
      {"escape in name", st("{\"a\\u001b[31m\":3}"), "tensor \"a\\x1b[31m\" must not be"},
  };
}

void check(const std::vector<Case>& cases) {
  TempDir dir;
  for (const auto& test : cases) {
    SCOPED_TRACE(test.name);
    const auto path = dir.write("bad.safetensors", test.bytes);
    expect_error(ErrorKind::Input, test.expected, [&] { open_source(path); });
    expect_error(ErrorKind::Input, path, [&] { open_source(path); });
  }
}

TEST(SafetensorsMalformed, Length) { check(length_cases()); }
TEST(SafetensorsMalformed, Json) { check(json_cases()); }
TEST(SafetensorsMalformed, Tensors) { check(tensor_cases()); }

// A bomb of a million tensors on one region costs time in proportion to the text, not memory or squares of it.
TEST(SafetensorsMalformed, ManyTensorsAreReadInLinearTime) {
  TempDir dir;
  std::string json = "{";
  for (int i = 0; i < 200'000; ++i) json += fmt::format("{}\"t{}\":{{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", i ? "," : "", i);
  const auto path = dir.write("bomb.safetensors", safetensors_bytes(json + "}", 1));
  expect_error(ErrorKind::Input, "it overlaps another tensor", [&] { open_source(path); });
}

struct IndexCase {
  const char *name, *index, *expected;
};
constexpr IndexCase kIndexCases[] = {
    {"no map", R"({"metadata":{}})", "has no \"weight_map\""},
    {"empty map", R"({"weight_map":{}})", "\"weight_map\" is empty"},
    {"map is a list", R"({"weight_map":[]})", "must not be an array"},
    {"map is a string", R"({"weight_map":"a"})", "must not be a string"},
    {"map is null", R"({"weight_map":null})", "must not be null"},
    {"file is a number", R"({"weight_map":{"a":1}})", "weight_map[\"a\"] must not be the number 1"},
    {"file is an object", R"({"weight_map":{"a":{}}})", "must not be an object"},
    {"parent", R"({"weight_map":{"a":"../s1.safetensors"}})", "expected the plain name"},
    {"dots", R"({"weight_map":{"a":".."}})", "expected the plain name"},
    {"dot", R"({"weight_map":{"a":"."}})", "expected the plain name"},
    {"absolute", R"({"weight_map":{"a":"/etc/s1.safetensors"}})", "expected the plain name"},
    {"inner", R"({"weight_map":{"a":"x/s1.safetensors"}})", "expected the plain name"},
    {"backslash", R"({"weight_map":{"a":"x\\s1.safetensors"}})", "expected the plain name"},
    {"NUL", R"({"weight_map":{"a":"s1\u0000.safetensors"}})", "expected the plain name"},
    {"URL", R"({"weight_map":{"a":"http://h/s1.safetensors"}})", "expected the plain name"},
    {"drive", R"({"weight_map":{"a":"C:s1.safetensors"}})", "expected the plain name"},
    {"hidden", R"({"weight_map":{"a":".s1.safetensors"}})", "expected the plain name"},
    {"pickle", R"({"weight_map":{"a":"pytorch_model.bin"}})", "expected the plain name"},
    {"empty file name", R"({"weight_map":{"a":""}})", "expected the plain name"},
    {"control character", R"({"weight_map":{"a":"s\u001b.safetensors"}})", "expected the plain name"},
    {"duplicate tensor", R"({"weight_map":{"a":"s1.safetensors","a":"s1.safetensors"}})", "tensor \"a\" stands twice"},
    {"duplicate map", R"({"weight_map":{"a":"s1.safetensors"},"weight_map":{"b":"s2.safetensors"}})", "key \"weight_map\" stands twice"},
    {"absent shard", R"({"weight_map":{"a":"s1.safetensors","b":"s2.safetensors","c":"s9.safetensors"}})", "names the shard s9.safetensors, which is absent"},
    {"tensor nowhere", R"({"weight_map":{"a":"s1.safetensors","b":"s2.safetensors","c":"s1.safetensors"}})", "weight_map has tensor \"c\" in s1.safetensors, which lacks it"},
    {"tensor elsewhere", R"({"weight_map":{"a":"s2.safetensors","b":"s2.safetensors","c":"s1.safetensors"}})", "weight_map has tensor \"a\" in s2.safetensors, but s1.safetensors holds it"},
    {"tensor not in map", R"({"weight_map":{"c":"s1.safetensors"}})", "weight_map lacks tensor \"a\" of s1.safetensors"},
    {"deep", R"({"metadata":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[)", "nested deeper than 64"},
};

TEST(SafetensorsMalformed, Index) {
  TempDir dir;
  dir.write("s1.safetensors", safetensors_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1));
  dir.write("s2.safetensors", safetensors_bytes(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1));
  for (const auto& test : kIndexCases) {
    SCOPED_TRACE(test.name);
    dir.write("model.safetensors.index.json", test.index);
    expect_error(ErrorKind::Input, test.expected, [&] { open_source(dir.path()); });
  }
  dir.write("model.safetensors.index.json", R"({"metadata":{"total_size":2,"x":[1,{"y":null}]},"weight_map":{"b":"s2.safetensors","a":"s1.safetensors"}})");
  EXPECT_EQ(open_source(dir.path())->tensors().size(), 2u);
  dir.write("s2.safetensors", safetensors_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1));
  expect_error(ErrorKind::Input, "s1.safetensors, but s2.safetensors holds it", [&] { open_source(dir.path()); });
}

TEST(SafetensorsMalformed, Directory) {
  TempDir dir;
  expect_error(ErrorKind::Input, "has neither model.safetensors nor", [&] { open_source(dir.path()); });
  dir.write("pytorch_model.bin", "x");
  expect_error(ErrorKind::Input, "pickled", [&] { open_source(dir.path()); });
  dir.write("m.gguf", "x");
  expect_error(ErrorKind::Input, "pass the GGUF file itself", [&] { open_source(dir.path()); });
  dir.write("model.safetensors", safetensors_bytes("{}"));
  dir.write("config.json", "[]");
  expect_error(ErrorKind::Input, "is not a JSON object", [&] { open_source(dir.path()); });
  dir.write("config.json", "{");
  expect_error(ErrorKind::Input, "is not valid JSON", [&] { open_source(dir.path()); });
  expect_error(ErrorKind::Input, "cannot be opened", [&] { open_source(dir.path("absent.safetensors")); });
  expect_error(ErrorKind::Input, "is neither GGUF nor safetensors", [&] { open_source(dir.write("x.txt", "hello, this is text")); });
  expect_error(ErrorKind::Input, "is not a regular file", [&] { open_source("/dev/zero"); });
  std::filesystem::remove(dir.path("model.safetensors"));
  std::filesystem::create_symlink("/dev/zero", dir.path("model.safetensors"));
  dir.write("config.json", "{}");
  expect_error(ErrorKind::Input, "is not a regular file", [&] { open_source(dir.path()); });
}

}  // namespace
}  // namespace teeny
