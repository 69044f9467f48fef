// Model files made by hand, byte by byte, for tests: valid ones, and ones that are wrong in one field.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/core/error.h"

namespace teeny::test {

// A directory of its own, removed at the end.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "teeny_test_XXXXXX").string();
    if (!::mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string path(std::string_view name = {}) const { return name.empty() ? path_.string() : (path_ / name).string(); }
  std::string write(std::string_view name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path(name);
  }

 private:
  std::filesystem::path path_;
};

template <class T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

// u64 length, JSON, `data` zero bytes.
inline std::string safetensors_bytes(std::string_view json, size_t data = 0) {
  return raw(uint64_t(json.size())) + std::string(json) + std::string(data, '\0');
}

inline std::string gguf_text(std::string_view text) { return raw(uint64_t(text.size())) + std::string(text); }

// A GGUF file from parts; every number can be overridden to be wrong.
struct GgufFile {
  uint32_t version = 3;
  std::string magic = "GGUF", keys, tensors;
  uint64_t n_keys = 0, n_tensors = 0, alignment = 32, data_bytes = 0, offset = 0;
  bool pad_header = true;

  GgufFile& key(std::string_view name, uint32_t type, std::string_view value) {
    keys += gguf_text(name) + raw(type) + std::string(value);
    ++n_keys;
    return *this;
  }
  GgufFile& u32(std::string_view name, uint32_t value) { return key(name, 4, raw(value)); }
  GgufFile& f32(std::string_view name, float value) { return key(name, 6, raw(value)); }
  GgufFile& text(std::string_view name, std::string_view value) { return key(name, 8, gguf_text(value)); }
  GgufFile& array(std::string_view name, uint32_t element, uint64_t n, std::string_view elements) {
    return key(name, 9, raw(element) + raw(n) + std::string(elements));
  }
  GgufFile& texts(std::string_view name, const std::vector<std::string>& values) {
    std::string elements;
    for (const auto& value : values) elements += gguf_text(value);
    return array(name, 8, values.size(), elements);
  }
  // ne in file order (innermost first); `bytes` is what the data section grows by, before padding.
  GgufFile& tensor(std::string_view name, std::vector<int64_t> ne, uint32_t type, uint64_t bytes) { return tensor_at(name, std::move(ne), type, bytes, offset); }
  GgufFile& tensor_at(std::string_view name, std::vector<int64_t> ne, uint32_t type, uint64_t bytes, uint64_t at) {
    tensors += gguf_text(name) + raw(uint32_t(ne.size()));
    for (const int64_t n : ne) tensors += raw(n);
    tensors += raw(type) + raw(at);
    ++n_tensors;
    offset = (offset + bytes + alignment - 1) / alignment * alignment;
    data_bytes = offset;
    return *this;
  }
  std::string bytes() const {
    std::string out = magic + raw(version) + raw(n_tensors) + raw(n_keys) + keys + tensors;
    if (pad_header) out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    out.resize(out.size() + data_bytes, '\0');
    return out;
  }
};

// The call must throw an Error of this kind whose text has `part`.
template <class Call>
void expect_error(ErrorKind kind, std::string_view part, Call&& call) {
  try {
    call();
    ADD_FAILURE() << "no error; expected \"" << part << "\"";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what() << "\nexpected: " << part;
  }
}

}  // namespace teeny::test
