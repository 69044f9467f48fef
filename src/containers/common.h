// Shared by the readers and writers of this module: checked sizes, and a TensorSource that is filled piece by piece.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "teeny/containers/source.h"

namespace teeny {

inline constexpr uint64_t kMaxTensors = 1'000'000;

struct TensorSize {
  uint64_t elements = 0, bytes = 0;
};
// Every product checked. Throws Input, naming `subject` and the tensor, for a negative size, an overflow, or an innermost
// dimension that is no multiple of the dtype's block.
TensorSize tensor_size(DType dtype, const std::vector<int64_t>& shape, std::string_view where, std::string_view subject, std::string_view name);

std::string shape_text(const std::vector<int64_t>& shape);  // "[4096, 256]"

// The members of TensorSource opened up to this module's readers.
class SourceBuilder : public TensorSource {
 public:
  SourceBuilder(ContainerKind kind, std::string path);
  // Appends a file and its tensors; a name that another file has already is an Input error.
  void add(File file, std::vector<TensorInfo> tensors);
  void set_config(Json config) { config_ = std::move(config); }
  void set_gguf(GgufMetadata metadata) { gguf_ = std::move(metadata); }
};

std::unique_ptr<TensorSource> open_safetensors_file(const std::string& path);
std::unique_ptr<TensorSource> open_safetensors_directory(const std::string& path);
std::unique_ptr<TensorSource> open_gguf(const std::string& path);

}  // namespace teeny
