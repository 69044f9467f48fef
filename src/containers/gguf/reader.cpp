// Opens a GGUF file; a part of a split file opens all parts.
#include <algorithm>

#include "containers/common.h"
#include "containers/gguf/header.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
constexpr const char* kWhere = "gguf";
constexpr int64_t kMaxParts = 1000;

class FileBytes : public ByteSource {
 public:
  explicit FileBytes(const File& file) : file_(file) {}
  uint64_t size() const override { return file_.size(); }
  void read(uint64_t offset, std::span<std::byte> out) const override { file_.read(offset, out); }

 private:
  const File& file_;
};

// "<prefix>-00002-of-00005.gguf" -> "<prefix>"; the numbers in the name must be the ones in the metadata.
std::string split_prefix(const std::string& path, int64_t number, int64_t count) {
  const auto ending = fmt::format("-{:05}-of-{:05}.gguf", number + 1, count);
  if (!path.ends_with(ending))
    throw input_error(kWhere, path, "is part {} of {} of a split file, so its name must end {}; rename it", number + 1, count, ending);
  return path.substr(0, path.size() - ending.size());
}

struct Split {
  int64_t number = 0, count = 1;
};
Split split_of(const GgufMetadata& metadata, const std::string& path) {
  const Split split{metadata.integer("split.no").value_or(0), metadata.integer("split.count").value_or(1)};
  if (split.count == 0 && split.number == 0) return {};
  if (split.count < 1 || split.count > kMaxParts || split.number < 0 || split.number >= split.count)
    throw input_error(kWhere, path, "has split.no {} and split.count {}, expected 0 <= no < count <= {}", split.number, split.count, kMaxParts);
  return split;
}

}  // namespace

std::unique_ptr<TensorSource> open_gguf(const std::string& path) {
  auto source = std::make_unique<SourceBuilder>(ContainerKind::Gguf, path);
  File file(path);
  auto header = parse_gguf_header(FileBytes(file), path);
  const Split split = split_of(header.metadata, path);
  if (split.count == 1) {
    source->set_gguf(std::move(header.metadata));
    source->add(std::move(file), std::move(header.tensors));
    return source;
  }
  const auto prefix = split_prefix(path, split.number, split.count);
  std::optional<int64_t> declared;
  for (int64_t number = 0; number < split.count; ++number) {
    const auto part_path = fmt::format("{}-{:05}-of-{:05}.gguf", prefix, number + 1, split.count);
    if (!path_exists(part_path)) throw input_error(kWhere, part_path, "part {} of {} of the split file is absent; download all parts", number + 1, split.count);
    File part(part_path);
    auto part_header = parse_gguf_header(FileBytes(part), part_path);
    const Split found = split_of(part_header.metadata, part_path);
    if (found.number != number || found.count != split.count)
      throw input_error(kWhere, part_path, "has split.no {} of {}, expected {} of {}; the parts belong to different files", found.number, found.count, number, split.count);
    if (number == 0) {
      declared = part_header.metadata.integer("split.tensors.count");
      source->set_gguf(std::move(part_header.metadata));
    }
    source->add(std::move(part), std::move(part_header.tensors));
  }
  if (declared && *declared != int64_t(source->tensors().size()))
    throw input_error(kWhere, path, "split.tensors.count is {}, the parts hold {} tensors", *declared, source->tensors().size());
  return source;
}

}  // namespace teeny
