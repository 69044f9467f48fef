#include <algorithm>

#include "containers/common.h"
#include "containers/gguf/header.h"
#include "containers/sink_progress.h"
#include "teeny/containers/sink.h"
#include "teeny/core/checked.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
constexpr const char* kWhere = "gguf";

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void append_text(std::string& out, std::string_view text) {
  append(out, uint64_t(text.size()));
  out += text;
}

template <class T, class V>
void append_checked(std::string& out, V value, std::string_view key) {
  if (!std::in_range<T>(value)) throw input_error(kWhere, printable(key), "the value {} does not fit its type", value);
  append(out, T(value));
}

template <class V>
void append_integer(std::string& out, uint32_t type, V value, std::string_view key) {
  switch (type) {
    case kGgufU8: return append_checked<uint8_t>(out, value, key);
    case kGgufI8: return append_checked<int8_t>(out, value, key);
    case kGgufU16: return append_checked<uint16_t>(out, value, key);
    case kGgufI16: return append_checked<int16_t>(out, value, key);
    case kGgufU32: return append_checked<uint32_t>(out, value, key);
    case kGgufI32: return append_checked<int32_t>(out, value, key);
    case kGgufU64: return append_checked<uint64_t>(out, value, key);
    case kGgufI64: return append_checked<int64_t>(out, value, key);
    default: throw input_error(kWhere, printable(key), "holds integers, but its type is {}", gguf_type_name(type));
  }
}

struct ValueWriter {
  std::string& out;
  uint32_t type;
  std::string_view key;
  void require(bool ok, std::string_view what) const {
    if (!ok) throw input_error(kWhere, printable(key), "holds {}, but its type is {}", what, gguf_type_name(type));
  }
  void operator()(int64_t value) const { append_integer(out, type, value, key); }
  void operator()(uint64_t value) const { append_integer(out, type, value, key); }
  void operator()(double value) const {
    require(type == kGgufF32 || type == kGgufF64, "a float");
    if (type == kGgufF32) append(out, float(value));
    else append(out, value);
  }
  void operator()(bool value) const {
    require(type == kGgufBool, "a bool");
    append(out, uint8_t(value));
  }
  void operator()(const std::string& value) const {
    require(type == kGgufString, "a string");
    append_text(out, value);
  }
  void operator()(const GgufArray&) const { require(false, "an array"); }
};

void append_value(std::string& out, const std::string& key, const GgufValue& value) {
  append_text(out, key);
  append(out, value.type);
  if (value.type != kGgufArray) return std::visit(ValueWriter{out, value.type, key}, value.value);
  const auto* array = std::get_if<GgufArray>(&value.value);
  if (!array) throw input_error(kWhere, printable(key), "is of type array, but holds one value");
  append(out, value.element);
  const ValueWriter writer{out, value.element, key};
  std::visit(
      [&]<class T>(const std::vector<T>& elements) {
        append(out, uint64_t(elements.size()));
        for (const T& element : elements) writer(element);
      },
      *array);
}

// Facts of the file that was read, not of the model: a copied value would be wrong here.
bool belongs_to_file(const std::string& key) { return key == "general.alignment" || key.starts_with("split."); }

// Tensors of each part, in order: a part is closed before it would exceed `part_bytes`.
std::vector<std::vector<TensorSpec>> cut_parts(const std::vector<TensorSpec>& tensors, uint64_t part_bytes) {
  std::vector<std::vector<TensorSpec>> parts(1);
  uint64_t bytes = 0;
  for (const auto& tensor : tensors) {
    const uint64_t size = tensor.bytes();
    if (part_bytes && !parts.back().empty() && (size > part_bytes || bytes > part_bytes - size)) {
      parts.emplace_back();
      bytes = 0;
    }
    bytes += size;
    parts.back().push_back(tensor);
  }
  return parts;
}

GgufMetadata part_keys(size_t number, size_t count, size_t tensors) {
  GgufMetadata keys;
  if (count == 1) return keys;
  keys.set("split.no", {kGgufU16, 0, int64_t(number)});
  keys.set("split.count", {kGgufU16, 0, int64_t(count)});
  keys.set("split.tensors.count", {kGgufI32, 0, int64_t(tensors)});
  return keys;
}

std::vector<GgufLayout> layout_parts(const GgufMetadata& metadata, const std::vector<std::vector<TensorSpec>>& parts, size_t tensors, std::string_view subject) {
  std::vector<GgufLayout> layouts;
  for (size_t i = 0; i < parts.size(); ++i) layouts.push_back(layout_gguf(i == 0 ? metadata : GgufMetadata(), parts[i], subject, part_keys(i, parts.size(), tensors)));
  return layouts;
}

uint64_t bytes_of(const std::vector<GgufLayout>& layouts) {
  uint64_t total = 0;
  for (const auto& layout : layouts) total += layout.file_bytes;
  return total;
}

class GgufSink : public TensorSink {
 public:
  GgufSink(const std::string& path, const GgufMetadata& metadata, const std::vector<TensorSpec>& tensors, uint64_t part_bytes) {
    const auto parts = cut_parts(tensors, part_bytes);
    const auto paths = gguf_part_paths(path, tensors, part_bytes);
    const auto layouts = layout_parts(metadata, parts, tensors.size(), path);
    require_free_space(path, bytes_of(layouts));
    for (size_t i = 0; i < parts.size(); ++i) open_part(paths[i], i, parts[i], layouts[i]);
  }
  void put(const std::string& name, std::span<const std::byte> bytes, uint64_t offset) override {
    const auto place = progress_.claim(name, bytes.size(), offset);
    files_[place.file]->write_at(place.offset, bytes);
  }
  void finish() override {
    progress_.finish();
    for (auto file = files_.rbegin(); file != files_.rend(); ++file) (*file)->commit();
  }

 private:
  void open_part(const std::string& path, size_t number, const std::vector<TensorSpec>& tensors, const GgufLayout& layout) {
    for (size_t i = 0; i < tensors.size(); ++i) progress_.plan(tensors[i].name, {number, layout.offsets[i], tensors[i].bytes()});
    files_.push_back(std::make_unique<OutputFile>(path));
    files_.back()->write(layout.header);
    if (tensors.empty()) return;
    // The padding after the last tensor; the gaps between tensors become zeros because the file is new.
    const auto end = layout.offsets.back() + tensors.back().bytes();
    files_.back()->write_at(end, std::vector<std::byte>(size_t(layout.file_bytes - end)));
  }
  std::vector<std::unique_ptr<OutputFile>> files_;
  SinkProgress progress_;
};

}  // namespace

GgufLayout layout_gguf(const GgufMetadata& metadata, const std::vector<TensorSpec>& tensors, std::string_view subject, const GgufMetadata& part) {
  GgufLayout layout;
  std::string& out = layout.header;
  out = "GGUF";
  append(out, uint32_t(3));
  append(out, uint64_t(tensors.size()));
  const auto& entries = metadata.entries();
  append(out, uint64_t(std::count_if(entries.begin(), entries.end(), [](const auto& entry) { return !belongs_to_file(entry.first); })) + part.entries().size());
  for (const auto& [key, value] : entries)
    if (!belongs_to_file(key)) append_value(out, key, value);
  for (const auto& [key, value] : part.entries()) append_value(out, key, value);
  uint64_t offset = 0;
  for (const auto& tensor : tensors) {
    if (tensor.name.empty() || tensor.name.size() > kGgufMaxTensorName || tensor.shape.size() > kGgufMaxDims)
      throw input_error(kWhere, subject, "tensor \"{}\" of shape {} cannot be in a GGUF file: names have 1 to {} bytes, shapes up to {} dimensions",
                        printable(tensor.name), shape_text(tensor.shape), kGgufMaxTensorName, kGgufMaxDims);
    if (traits(tensor.dtype).ggml_type < 0)
      throw input_error(kWhere, subject, "tensor \"{}\" has the type {}, which GGUF does not know", printable(tensor.name), name_of(tensor.dtype));
    const auto size = tensor_size(tensor.dtype, tensor.shape, kWhere, subject, tensor.name);
    if (size.elements == 0) throw input_error(kWhere, subject, "tensor \"{}\" of shape {} is empty, which GGUF does not allow", printable(tensor.name), shape_text(tensor.shape));
    append_text(out, tensor.name);
    append(out, uint32_t(tensor.shape.size()));
    for (auto n = tensor.shape.rbegin(); n != tensor.shape.rend(); ++n) append(out, *n);
    append(out, uint32_t(traits(tensor.dtype).ggml_type));
    append(out, offset);
    layout.offsets.push_back(offset);
    const auto padded = checked_round_up(size.bytes, kGgufAlignment);
    const auto next = padded ? checked_add(offset, *padded) : std::nullopt;
    if (!next) throw input_error(kWhere, subject, "the tensors together overflow 64 bits");
    offset = *next;
  }
  out.resize(size_t(*checked_round_up(out.size(), kGgufAlignment)), '\0');
  for (auto& place : layout.offsets) place += out.size();
  layout.file_bytes = out.size() + offset;
  return layout;
}

std::vector<std::string> gguf_part_paths(const std::string& path, const std::vector<TensorSpec>& tensors, uint64_t part_bytes) {
  const size_t count = cut_parts(tensors, part_bytes).size();
  if (count == 1) return {path};
  const std::string prefix = path.ends_with(".gguf") ? path.substr(0, path.size() - 5) : path;
  std::vector<std::string> paths;
  for (size_t i = 0; i < count; ++i) paths.push_back(fmt::format("{}-{:05}-of-{:05}.gguf", prefix, i + 1, count));
  return paths;
}

uint64_t gguf_file_bytes(const GgufMetadata& metadata, const std::vector<TensorSpec>& tensors, uint64_t part_bytes) {
  return bytes_of(layout_parts(metadata, cut_parts(tensors, part_bytes), tensors.size(), "output"));
}

std::unique_ptr<TensorSink> create_gguf_sink(const std::string& path, const GgufMetadata& metadata, const std::vector<TensorSpec>& tensors, uint64_t part_bytes) {
  return std::make_unique<GgufSink>(path, metadata, tensors, part_bytes);
}

}  // namespace teeny
