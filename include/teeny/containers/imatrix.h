// llama.cpp's importance matrix in its older form (.dat): what each column of a weight's input has been on average, squared.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace teeny {

struct ImatrixEntry {
  std::string name;           // GGUF's name of the weight: "blk.0.ffn_down.weight"
  int32_t calls = 0;          // 0: never reached
  std::vector<float> values;  // E[x^2] of each column: sums already divided by calls
};
struct ImatrixDat {
  std::vector<ImatrixEntry> entries;
  int32_t chunks = 0;   // 0: not stored
  std::string dataset;  // empty: not stored
};

// i32 entries; each: i32 length, name, i32 calls, i32 count, f32[count] sums; then optionally i32 chunks, i32 length,
// data set. Little endian, no magic. Input error with the byte offset for anything that does not fit, a repeated name,
// values that are not finite or negative.
ImatrixDat parse_imatrix_dat(std::span<const std::byte> bytes, std::string_view subject);
bool looks_like_gguf(std::span<const std::byte> bytes);

}  // namespace teeny
