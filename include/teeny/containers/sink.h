// Writing: the header is known from the plan, so it is written first; then tensors arrive in any order and go straight
// to their place in the file. Nothing has its final name before finish().
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "teeny/containers/source.h"

namespace teeny {

struct TensorSpec {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;  // torch order
  uint64_t bytes() const;      // throws Input when the innermost dimension is no multiple of the block
};

class TensorSink {
 public:
  virtual ~TensorSink() = default;
  // Bytes of one planned tensor, exactly its size; `offset` is the byte offset within it, for pieces. Thread-safe.
  virtual void put(const std::string& name, std::span<const std::byte> bytes, uint64_t offset = 0) = 0;
  virtual void finish() = 0;  // Bug error when a planned tensor was not completely written; flushes to disk
};

// safetensors: one file `model.safetensors` in `directory`, or shards of at most `shard_bytes` (a single larger tensor
// gets a shard of its own) plus model.safetensors.index.json. In a file wide types stand first (readers want aligned
// tensors, as the reference writer gives them), otherwise the order is that of `tensors`.
std::unique_ptr<TensorSink> create_safetensors_sink(const std::string& directory, const std::vector<TensorSpec>& tensors,
                                                    uint64_t shard_bytes = 5'000'000'000);
// GGUF v3, alignment 32. The files get their names at finish(), the first part last: what can be opened is complete.
// More than `part_bytes` of tensors become parts as llama.cpp splits them: "x-00001-of-00003.gguf" for `path` "x.gguf",
// the metadata in the first. 0: one file.
std::unique_ptr<TensorSink> create_gguf_sink(const std::string& path, const GgufMetadata& metadata, const std::vector<TensorSpec>& tensors, uint64_t part_bytes = 0);
// What the files will have together, headers and padding too.
uint64_t safetensors_file_bytes(const std::vector<TensorSpec>& tensors, uint64_t shard_bytes);
uint64_t gguf_file_bytes(const GgufMetadata& metadata, const std::vector<TensorSpec>& tensors, uint64_t part_bytes);
// The files that this will write; the first is the one to open.
std::vector<std::string> gguf_part_paths(const std::string& path, const std::vector<TensorSpec>& tensors, uint64_t part_bytes);

}  // namespace teeny
