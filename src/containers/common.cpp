#include "containers/common.h"

#include "teeny/core/checked.h"
#include "teeny/core/error.h"

namespace teeny {

TensorSize tensor_size(DType dtype, const std::vector<int64_t>& shape, std::string_view where, std::string_view subject, std::string_view name) {
  const auto& type = traits(dtype);
  const auto overflow = [&] {
    return input_error(where, subject, "tensor \"{}\" of shape {} and type {} overflows 63 bits; the header is corrupt", printable(name),
                       shape_text(shape), type.name);
  };
  uint64_t elements = 1;
  for (const int64_t n : shape) {
    if (n < 0) throw input_error(where, subject, "tensor \"{}\" has the negative size {} in its shape {}", printable(name), n, shape_text(shape));
    const auto product = checked_mul(elements, uint64_t(n));
    if (!product || *product > uint64_t(INT64_MAX)) throw overflow();
    elements = *product;
  }
  const int64_t row = shape.empty() ? 1 : shape.back();
  if (row % type.block != 0)
    throw input_error(where, subject, "tensor \"{}\" has rows of {} elements, type {} needs a multiple of {}", printable(name), row, type.name,
                      type.block);
  const auto bytes = checked_mul(elements / uint64_t(type.block), uint64_t(type.bytes));
  if (!bytes || *bytes > uint64_t(INT64_MAX)) throw overflow();
  return {elements, *bytes};
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i == 8) return text + ", ...]";
    text += fmt::format("{}{}", i ? ", " : "", shape[i]);
  }
  return text + "]";
}

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  if (text.size() > limit) out += fmt::format("... ({} bytes)", text.size());
  return out;
}

SourceBuilder::SourceBuilder(ContainerKind kind, std::string path) {
  kind_ = kind;
  path_ = std::move(path);
}

void SourceBuilder::add(File file, std::vector<TensorInfo> tensors) {
  for (auto& tensor : tensors) {
    tensor.file = files_.size();
    const auto [at, fresh] = index_.emplace(tensor.name, tensors_.size());
    if (!fresh)
      throw input_error("open", file.path(), "tensor \"{}\" is also in {}; each tensor may be in one file only", printable(tensor.name),
                        files_[tensors_[at->second].file].path());
    tensors_.push_back(std::move(tensor));
  }
  files_.push_back(std::move(file));
}

}  // namespace teeny
