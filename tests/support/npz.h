// Reads arrays of numpy's .npz (a zip of .npy files, stored or deflated): enough for test data that we made ourselves.
#pragma once
#include <zlib.h>

#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "teeny/core/file.h"

namespace teeny::testing {

struct NpyArray {
  std::string descr;  // "<f4", "<i4", "<i8"
  std::vector<int64_t> shape;
  std::string data;
  template <class T>
  const T* as() const { return reinterpret_cast<const T*>(data.data()); }
};

inline NpyArray parse_npy(const std::string& file) {
  const size_t header = 10, length = size_t(uint8_t(file[8])) | size_t(uint8_t(file[9])) << 8;
  const std::string text = file.substr(header, length);
  NpyArray array;
  const auto quote = text.find("'descr': '") + 10;
  array.descr = text.substr(quote, text.find('\'', quote) - quote);
  auto at = text.find("'shape': (") + 10;
  for (const auto end = text.find(')', at); at < end;) {
    if (std::isdigit(uint8_t(text[at]))) {
      size_t used = 0;
      array.shape.push_back(std::stoll(text.substr(at), &used));
      at += used;
    } else {
      ++at;
    }
  }
  array.data = file.substr(header + length);
  return array;
}

inline std::map<std::string, NpyArray> read_npz(const std::string& path) {
  const std::string zip = read_file(path);
  const auto u16 = [&](size_t i) { uint16_t v; std::memcpy(&v, &zip[i], 2); return v; };
  const auto u32 = [&](size_t i) { uint32_t v; std::memcpy(&v, &zip[i], 4); return v; };
  size_t end = zip.rfind("PK\5\6");
  if (end == zip.npos) throw std::runtime_error("no zip directory in " + path);
  std::map<std::string, NpyArray> arrays;
  size_t entry = u32(end + 16);
  for (int i = 0; i < u16(end + 10); ++i) {
    const auto method = u16(entry + 10);
    const uint32_t packed = u32(entry + 20), size = u32(entry + 24), local = u32(entry + 42);
    const std::string name = zip.substr(entry + 46, u16(entry + 28));
    const size_t begin = local + 30 + u16(local + 26) + u16(local + 28);
    std::string data(size, '\0');
    if (method == 0) {
      data = zip.substr(begin, size);
    } else {
      z_stream stream{};
      inflateInit2(&stream, -MAX_WBITS);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(&zip[begin]));
      stream.avail_in = packed;
      stream.next_out = reinterpret_cast<Bytef*>(data.data());
      stream.avail_out = size;
      inflate(&stream, Z_FINISH);
      inflateEnd(&stream);
    }
    arrays[name.substr(0, name.size() - 4)] = parse_npy(data);
    entry += 46u + u16(entry + 28) + u16(entry + 30) + u16(entry + 32);
  }
  return arrays;
}

}  // namespace teeny::testing
