// Fuzz target: any bytes as a safetensors file and as an index. Only Input errors may come out; what is accepted must
// satisfy the format by an independent check.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "containers/safetensors/header.h"
#include "teeny/core/error.h"

using namespace teeny;

namespace {
void require(bool ok) {
  if (!ok) std::abort();
}

// Written without the parser's own helpers: products in 128 bits, ranges sorted and compared.
void check_view(const SafetensorsHeader& header, uint64_t header_bytes, uint64_t file_size) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const auto& tensor : header.tensors) {
    unsigned __int128 bytes = uint64_t(traits(tensor.dtype).bytes);
    for (const int64_t n : tensor.shape) {
      require(n >= 0);
      bytes *= uint64_t(n);
      require(bytes >> 63 == 0);
    }
    require(uint64_t(bytes) == tensor.bytes && traits(tensor.dtype).scalar());
    ranges.emplace_back(tensor.offset, tensor.offset + tensor.bytes);
  }
  std::sort(ranges.begin(), ranges.end());
  uint64_t end = 8 + header_bytes;
  for (const auto& [begin, stop] : ranges) {
    require(begin == end);
    end = stop;
  }
  require(end == file_size);
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const uint64_t length = safetensors_header_length(bytes.first(std::min<size_t>(8, size)), size, "fuzz");
    const auto header = parse_safetensors_header(text.substr(8, length), size, "fuzz");
    check_view(header, length, size);
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::Input);
  }
  // The same bytes as JSON alone, with the file size that the header claims: reaches the layout check far more often.
  try {
    const uint64_t data_bytes = size > 0 ? data[size - 1] : 0;
    const auto json = text.substr(0, size > 0 ? size - 1 : 0);
    check_view(parse_safetensors_header(json, 8 + json.size() + data_bytes, "fuzz"), json.size(), 8 + json.size() + data_bytes);
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::Input);
  }
  try {
    for (const auto& [tensor, file] : parse_safetensors_index(text, "fuzz")) require(file.find('/') == file.npos && file != "..");
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::Input);
  }
  return 0;
}
