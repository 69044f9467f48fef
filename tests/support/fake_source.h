// A TensorSource put together in a test: tensors by name and shape without bytes, a config or GGUF metadata.
#pragma once
#include <utility>

#include "teeny/containers/source.h"

namespace teeny::test {

class FakeSource : public TensorSource {
 public:
  FakeSource(ContainerKind kind, std::string path) {
    kind_ = kind;
    path_ = std::move(path);
    if (kind == ContainerKind::Gguf) gguf_.emplace();
  }
  FakeSource& tensor(const std::string& name, std::vector<int64_t> shape, DType dtype = DType::F32) {
    TensorInfo info{.name = name, .dtype = dtype, .shape = std::move(shape), .bytes = 0, .file = 0, .offset = 0};
    index_[name] = tensors_.size();
    tensors_.push_back(std::move(info));
    return *this;
  }
  void set_config(Json config) { config_ = std::move(config); }
  GgufMetadata& metadata() { return *gguf_; }
};

}  // namespace teeny::test
