// The header of a GGUF file: magic, metadata, tensor table. Reads through an interface, a buffer at a time, so that files
// of any size and a fuzzer's bytes are read by the same code, and nothing is allocated before it is known to be there.
#pragma once
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "teeny/containers/sink.h"
#include "teeny/containers/source.h"

namespace teeny {

// GGUF value types, by number.
enum GgufType : uint32_t { kGgufU8, kGgufI8, kGgufU16, kGgufI16, kGgufU32, kGgufI32, kGgufF32, kGgufBool, kGgufString, kGgufArray, kGgufU64, kGgufI64, kGgufF64 };
// "u32", "array", or "type 77".
std::string gguf_type_name(uint32_t type);

inline constexpr uint64_t kGgufAlignment = 32;        // the default, and what teeny writes
inline constexpr size_t kGgufMaxTensorName = 63;      // readers keep names in 64 bytes with a NUL
inline constexpr size_t kGgufMaxDims = 4;

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size() const = 0;
  virtual void read(uint64_t offset, std::span<std::byte> out) const = 0;  // [offset, offset + out.size()) lies inside
};

class MemoryBytes : public ByteSource {
 public:
  explicit MemoryBytes(std::span<const std::byte> bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  void read(uint64_t offset, std::span<std::byte> out) const override { std::memcpy(out.data(), bytes_.data() + offset, out.size()); }

 private:
  std::span<const std::byte> bytes_;
};

struct GgufHeader {
  uint32_t version = 3;
  uint64_t alignment = kGgufAlignment;
  GgufMetadata metadata;
  std::vector<TensorInfo> tensors;  // absolute offsets, in file order
};
GgufHeader parse_gguf_header(const ByteSource& bytes, std::string_view subject);

// Serialised header for a new file, padded to the alignment; offsets[i] is the absolute place of tensors[i].
struct GgufLayout {
  std::string header;
  std::vector<uint64_t> offsets;
  uint64_t file_bytes = 0;
};
// `part`: keys that describe this file (split.*); such keys of `metadata` belong to another file and are left out.
GgufLayout layout_gguf(const GgufMetadata& metadata, const std::vector<TensorSpec>& tensors, std::string_view subject, const GgufMetadata& part = {});

}  // namespace teeny
