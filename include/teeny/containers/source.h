// A model file or directory, opened: names, shapes, dtypes and byte ranges of its tensors, and its metadata.
// Opening reads headers only; tensor bytes are read on demand with pread, so a model is never held in memory.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "teeny/core/dtype.h"
#include "teeny/core/file.h"
#include "teeny/core/json.h"

namespace teeny {

struct TensorInfo {
  std::string name;            // as in the file
  DType dtype = DType::F32;
  std::vector<int64_t> shape;  // row-major, torch order: (N, K) for a linear, also for GGUF (whose ne[] is reversed)
  uint64_t bytes = 0;          // checked: product of shape x width, inside the file
  size_t file = 0;             // index into TensorSource::files()
  uint64_t offset = 0;         // absolute byte offset in that file
  int64_t elements() const;
};

// One GGUF metadata value. Arrays are homogeneous; nested arrays are refused by the reader.
using GgufArray = std::variant<std::vector<int64_t>, std::vector<uint64_t>, std::vector<double>, std::vector<bool>, std::vector<std::string>>;
struct GgufValue {
  uint32_t type = 0;     // GGUF type number (formats.md: u8 0 ... f64 12, array 9)
  uint32_t element = 0;  // element type of an array
  std::variant<int64_t, uint64_t, double, bool, std::string, GgufArray> value;
};

class GgufMetadata {
 public:
  void set(const std::string& key, GgufValue value);       // keeps insertion order; replaces in place
  const GgufValue* find(const std::string& key) const;
  const std::vector<std::pair<std::string, GgufValue>>& entries() const { return entries_; }
  // Typed reads. Absent -> nullopt; present with another type -> Input error naming the key.
  std::optional<std::string> string(const std::string& key) const;
  std::optional<int64_t> integer(const std::string& key) const;   // any integer type
  std::optional<double> number(const std::string& key) const;     // any integer or float type
  std::optional<bool> boolean(const std::string& key) const;
  const std::vector<std::string>* strings(const std::string& key) const;
  std::optional<std::vector<int64_t>> integers(const std::string& key) const;
  std::optional<std::vector<double>> numbers(const std::string& key) const;
  // Typed writes with the exact GGUF types that loaders check.
  void set_string(const std::string& key, std::string value);
  void set_u32(const std::string& key, uint32_t value);
  void set_f32(const std::string& key, float value);
  void set_bool(const std::string& key, bool value);
  void set_strings(const std::string& key, std::vector<std::string> value);
  void set_i32s(const std::string& key, std::vector<int64_t> value);
  void set_f32s(const std::string& key, std::vector<double> value);

 private:
  std::vector<std::pair<std::string, GgufValue>> entries_;
  std::map<std::string, size_t> index_;
};

enum class ContainerKind { Safetensors, Gguf };

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  ContainerKind kind() const { return kind_; }
  const std::string& path() const { return path_; }            // as the user gave it
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const std::vector<File>& files() const { return files_; }
  const TensorInfo* find(std::string_view name) const;         // nullptr: absent
  const TensorInfo& at(std::string_view name) const;           // Input error naming file and tensor when absent
  // Copies `out.size()` bytes of the tensor, from byte `offset` within it. Thread-safe.
  void read(const TensorInfo& tensor, std::span<std::byte> out, uint64_t offset = 0) const;
  std::vector<std::byte> read(const TensorInfo& tensor) const;
  const Json& config() const { return config_; }               // config.json of a Hugging Face directory; null for GGUF
  std::string directory() const;                               // of a Hugging Face directory; empty for a single file
  const GgufMetadata* gguf() const { return gguf_ ? &*gguf_ : nullptr; }
  uint64_t total_bytes() const;                                // of all tensors

 protected:
  ContainerKind kind_ = ContainerKind::Safetensors;
  std::string path_;
  std::vector<File> files_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
  Json config_;
  std::optional<GgufMetadata> gguf_;
};

// `path`: a Hugging Face directory (model.safetensors, or model.safetensors.index.json and its shards), one .safetensors
// file (config.json beside it is used), or a .gguf file (the first of a split opens all). Recognised by content.
std::unique_ptr<TensorSource> open_source(const std::string& path);

// A directory's config.json without its tensors, for a plan of a model that is not downloaded yet; Input error when it has
// none. read_spec works on it, read() does not.
std::unique_ptr<TensorSource> open_config(const std::string& directory);
// Whether a directory has a config.json and no weights that open_source would open.
bool has_config_only(const std::string& path);

// What a resumed run compares: SHA-256 over names, shapes and dtypes of the tensors, sizes and times of the files.
std::string fingerprint(const TensorSource& source);

// A name from a file, for messages: control and non-ASCII bytes escaped, cut after `limit` bytes.
std::string printable(std::string_view text, size_t limit = 120);

}  // namespace teeny
