// Fuzz target: any bytes as a GGUF file. Only Input errors may come out; a file that is accepted is written again and must
// read as the same.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>

#include "containers/gguf/header.h"
#include "teeny/core/error.h"

using namespace teeny;

namespace {
void require(bool ok) {
  if (!ok) std::abort();
}

bool same(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

bool same_value(const GgufValue& a, const GgufValue& b) {
  if (a.type != b.type || a.element != b.element || a.value.index() != b.value.index()) return false;
  if (const auto* number = std::get_if<double>(&a.value)) return same(*number, std::get<double>(b.value));
  const auto* array = std::get_if<GgufArray>(&a.value);
  if (!array) return a.value == b.value;
  const auto& other = std::get<GgufArray>(b.value);
  const auto* numbers = std::get_if<std::vector<double>>(array);
  if (!numbers) return *array == other;
  const auto& others = std::get<std::vector<double>>(other);
  if (numbers->size() != others.size()) return false;
  for (size_t i = 0; i < numbers->size(); ++i)
    if (!same((*numbers)[i], others[i])) return false;
  return true;
}

void check_again(const GgufHeader& first, uint64_t file_size) {
  std::vector<TensorSpec> specs;
  for (const auto& tensor : first.tensors) {
    require(tensor.offset % first.alignment == 0 && tensor.offset <= file_size && tensor.bytes <= file_size - tensor.offset);
    specs.push_back({tensor.name, tensor.dtype, tensor.shape});
  }
  auto layout = layout_gguf(first.metadata, specs, "fuzz");
  require(layout.file_bytes < (64u << 20));
  layout.header.resize(layout.file_bytes);
  const auto second = parse_gguf_header(MemoryBytes(std::as_bytes(std::span(layout.header))), "again");
  require(second.tensors.size() == first.tensors.size());
  for (size_t i = 0; i < specs.size(); ++i) {
    const auto &a = first.tensors[i], &b = second.tensors[i];
    require(a.name == b.name && a.dtype == b.dtype && a.shape == b.shape && a.bytes == b.bytes && b.offset == layout.offsets[i]);
  }
  for (const auto& [key, value] : second.metadata.entries()) {
    const auto* before = first.metadata.find(key);
    require(before && same_value(*before, value));
  }
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    check_again(parse_gguf_header(MemoryBytes(std::as_bytes(std::span(data, size))), "fuzz"), size);
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::Input);
  }
  return 0;
}
