// The header of a safetensors file: u64 length, JSON, data. Pure functions of bytes, so that they can be fuzzed.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "teeny/containers/source.h"

namespace teeny {

inline constexpr uint64_t kSafetensorsMaxHeader = 100'000'000;  // the reference implementation's limit

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // in header order; offsets are absolute
  std::vector<std::pair<std::string, std::string>> metadata;
};

// Length of the JSON that follows, from the first bytes (8, or fewer when the file is shorter) of a file of `file_size`.
uint64_t safetensors_header_length(std::span<const std::byte> start, uint64_t file_size, std::string_view subject);
// `json` is exactly the N bytes after the length. Throws Input for everything that formats.md section 10 forbids.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t file_size, std::string_view subject);

// The weight_map of model.safetensors.index.json: (tensor, file name), every file name a plain name ending .safetensors.
std::vector<std::pair<std::string, std::string>> parse_safetensors_index(std::string_view json, std::string_view subject);

}  // namespace teeny
