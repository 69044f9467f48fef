// Containers by content, one line each, and what every TensorSource can do.
#include <algorithm>
#include <array>
#include <cstring>

#include "containers/common.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

bool has_gguf_magic(std::span<const std::byte> start) { return start.size() >= 4 && std::memcmp(start.data(), "GGUF", 4) == 0; }
// A safetensors file has no magic: u64 length (under 2^27), then '{'.
bool looks_like_safetensors(std::span<const std::byte> start) { return start.size() >= 9 && start[7] == std::byte{0} && start[8] == std::byte{'{'}; }

struct Container {
  bool (*recognise)(std::span<const std::byte> start);
  std::unique_ptr<TensorSource> (*open)(const std::string& path);
};
constexpr Container kContainers[] = {
    {has_gguf_magic, open_gguf},
    {looks_like_safetensors, open_safetensors_file},
};

}  // namespace

std::unique_ptr<TensorSource> open_source(const std::string& path) {
  if (is_directory(path)) return open_safetensors_directory(path);
  std::array<std::byte, 16> buffer{};
  const File file(path);
  const auto start = std::span(buffer).first(std::min<uint64_t>(buffer.size(), file.size()));
  file.read(0, start);
  for (const auto& container : kContainers)
    if (container.recognise(start)) return container.open(path);
  // The extension says what was meant: that reader's message is the more helpful one.
  if (path.ends_with(".gguf")) return open_gguf(path);
  if (path.ends_with(".safetensors")) return open_safetensors_file(path);
  throw input_error("open", path, "is neither GGUF nor safetensors; pass a model directory, a .safetensors or a .gguf file");
}

int64_t TensorInfo::elements() const {
  int64_t product = 1;
  for (const int64_t n : shape) product *= n;  // checked when the header was read
  return product;
}

const TensorInfo* TensorSource::find(std::string_view name) const {
  const auto at = index_.find(name);
  return at == index_.end() ? nullptr : &tensors_[at->second];
}

const TensorInfo& TensorSource::at(std::string_view name) const {
  if (const auto* tensor = find(name)) return *tensor;
  throw input_error("open", path_, "has no tensor \"{}\"; the model is incomplete or of another family", printable(name));
}

void TensorSource::read(const TensorInfo& tensor, std::span<std::byte> out, uint64_t offset) const {
  TEENY_ASSERT(tensor.file < files_.size() && offset <= tensor.bytes && out.size() <= tensor.bytes - offset);
  files_[tensor.file].read(tensor.offset + offset, out);
}

std::vector<std::byte> TensorSource::read(const TensorInfo& tensor) const {
  std::vector<std::byte> bytes(tensor.bytes);
  read(tensor, bytes);
  return bytes;
}

std::string TensorSource::directory() const {
  return kind_ == ContainerKind::Safetensors && is_directory(path_) ? path_ : std::string();
}

uint64_t TensorSource::total_bytes() const {
  uint64_t total = 0;
  for (const auto& tensor : tensors_) total += tensor.bytes;
  return total;
}

std::string fingerprint(const TensorSource& source) {
  std::string text;
  for (const auto& tensor : source.tensors()) {
    // The length before the name keeps two lists of names from giving one text.
    text += fmt::format("{}:{}:{}:", tensor.name.size(), tensor.name, name_of(tensor.dtype));
    for (const int64_t n : tensor.shape) text += fmt::format("{},", n);
    text += fmt::format(":{}:{}:{}\n", tensor.file, tensor.offset, tensor.bytes);
  }
  for (const auto& file : source.files()) text += fmt::format("{}:{}\n", file.size(), file.mtime_ns());
  return sha256_hex(text);
}

}  // namespace teeny
