#include "containers/gguf/header.h"

#include <algorithm>
#include <bit>
#include <unordered_set>

#include "containers/common.h"
#include "teeny/core/checked.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
static_assert(std::endian::native == std::endian::little, "GGUF and safetensors are little endian; byte swapping is not written");
constexpr const char* kWhere = "gguf";
constexpr uint64_t kMaxKey = 64 << 10, kMaxHeader = 100'000'000, kMaxArray = 1ull << 28, kMaxKeys = 1'000'000;
constexpr uint64_t kMaxAlignment = 1 << 20;

// Reads forward through a buffer. Every read is checked against the end of the file and the cap on the header.
class Cursor {
 public:
  Cursor(const ByteSource& bytes, std::string_view subject) : bytes_(bytes), subject_(subject), limit_(std::min(bytes.size(), kMaxHeader)) {}
  uint64_t position() const { return position_; }
  uint64_t left() const { return limit_ - position_; }

  void read(std::span<std::byte> out, std::string_view what) {
    need(out.size(), what);
    while (!out.empty()) {
      if (position_ < base_ || position_ >= base_ + buffer_.size()) refill();
      const auto at = size_t(position_ - base_);
      const auto n = std::min(out.size(), buffer_.size() - at);
      std::memcpy(out.data(), buffer_.data() + at, n);
      position_ += n;
      out = out.subspan(n);
    }
  }
  template <class T>
  T scalar(std::string_view what) {
    T value;
    read(std::as_writable_bytes(std::span(&value, 1)), what);
    return value;
  }
  std::string text(uint64_t max, std::string_view what) {
    const auto at = position_;
    const auto length = scalar<uint64_t>(what);
    if (length > max)
      throw input_error(kWhere, subject_, "{} at byte {} has the length {}, at most {} is accepted; the file is corrupt", what, at, length, max);
    need(length, what);
    std::string value(length, '\0');
    read(std::as_writable_bytes(std::span(value)), what);
    return value;
  }
  void need(uint64_t n, std::string_view what) const {
    if (n <= left()) return;
    if (limit_ < bytes_.size()) throw input_error(kWhere, subject_, "{} at byte {} goes beyond the {} bytes that a header may have", what, position_, kMaxHeader);
    throw input_error(kWhere, subject_, "{} at byte {} needs {} bytes, the file ends at byte {}; the file is truncated or corrupt", what, position_,
                      n, bytes_.size());
  }

 private:
  void refill() {
    base_ = position_;
    buffer_.resize(size_t(std::min<uint64_t>(64 << 10, limit_ - position_)));
    bytes_.read(base_, buffer_);
  }
  const ByteSource& bytes_;
  std::string_view subject_;
  uint64_t limit_, position_ = 0, base_ = 0;
  std::vector<std::byte> buffer_;
};

uint64_t type_bytes(uint32_t type) {
  switch (type) {
    case kGgufU8: case kGgufI8: case kGgufBool: return 1;
    case kGgufU16: case kGgufI16: return 2;
    case kGgufU32: case kGgufI32: case kGgufF32: return 4;
    case kGgufString: case kGgufU64: case kGgufI64: case kGgufF64: return 8;  // a string has at least its length
    default: return 0;
  }
}

class Parser {
 public:
  Parser(const ByteSource& bytes, std::string_view subject) : cursor_(bytes, subject), subject_(subject), file_bytes_(bytes.size()) {}

  GgufHeader parse() {
    read_start();
    for (uint64_t i = 0; i < keys_; ++i) read_entry(i);
    read_alignment();
    header_.tensors.reserve(size_t(std::min<uint64_t>(tensors_, 4096)));
    for (uint64_t i = 0; i < tensors_; ++i) read_tensor(i);
    place_tensors();
    return std::move(header_);
  }

 private:
  template <class... A>
  Error error(fmt::format_string<A...> format, A&&... args) const {
    return Error(ErrorKind::Input, kWhere, subject_, fmt::format(format, std::forward<A>(args)...));
  }

  void read_start() {
    char magic[4];
    cursor_.read(std::as_writable_bytes(std::span(magic)), "the magic");
    if (std::string_view(magic, 4) != "GGUF") throw error("begins with \"{}\", expected \"GGUF\"; is this a GGUF file?", printable({magic, 4}));
    header_.version = cursor_.scalar<uint32_t>("the version");
    if ((header_.version & 0xffff) == 0 && header_.version != 0) throw error("is a big-endian GGUF file, which is not supported; convert it again as little endian");
    if (header_.version == 1) throw error("has GGUF version 1, which no tool writes any more; convert the model again");
    if (header_.version < 2 || header_.version > 3) throw error("has GGUF version {} at byte 4, versions 2 and 3 are supported", header_.version);
    tensors_ = cursor_.scalar<uint64_t>("the number of tensors");
    keys_ = cursor_.scalar<uint64_t>("the number of keys");
    // The smallest tensor entry has 24 bytes, the smallest key 13: a count that cannot fit is refused before the loop.
    if (tensors_ > kMaxTensors || tensors_ > cursor_.left() / 24)
      throw error("claims {} tensors at byte 8, more than the file can hold; the file is truncated or corrupt", tensors_);
    if (keys_ > kMaxKeys || keys_ > cursor_.left() / 13)
      throw error("claims {} keys at byte 16, more than the file can hold; the file is truncated or corrupt", keys_);
  }

  void read_entry(uint64_t number) {
    const auto at = cursor_.position();
    const auto key = cursor_.text(kMaxKey, fmt::format("key {}", number));
    if (key.empty()) throw error("key {} at byte {} is empty", number, at);
    if (key.find('\0') != key.npos) throw error("key {} at byte {} has a NUL in its name \"{}\"", number, at, printable(key));
    if (header_.metadata.find(key)) throw error("key \"{}\" at byte {} stands twice", printable(key), at);
    const auto what = fmt::format("key \"{}\"", printable(key));
    const auto type = cursor_.scalar<uint32_t>(what);
    header_.metadata.set(key, type == kGgufArray ? read_array(what) : read_scalar(type, what));
  }

  GgufValue read_scalar(uint32_t type, std::string_view what) {
    switch (type) {
      case kGgufU8: return {type, 0, uint64_t(cursor_.scalar<uint8_t>(what))};
      case kGgufI8: return {type, 0, int64_t(cursor_.scalar<int8_t>(what))};
      case kGgufU16: return {type, 0, uint64_t(cursor_.scalar<uint16_t>(what))};
      case kGgufI16: return {type, 0, int64_t(cursor_.scalar<int16_t>(what))};
      case kGgufU32: return {type, 0, uint64_t(cursor_.scalar<uint32_t>(what))};
      case kGgufI32: return {type, 0, int64_t(cursor_.scalar<int32_t>(what))};
      case kGgufF32: return {type, 0, double(cursor_.scalar<float>(what))};
      case kGgufBool: return {type, 0, read_bool(what)};
      case kGgufString: return {type, 0, cursor_.text(kMaxHeader, what)};
      case kGgufU64: return {type, 0, cursor_.scalar<uint64_t>(what)};
      case kGgufI64: return {type, 0, cursor_.scalar<int64_t>(what)};
      case kGgufF64: return {type, 0, cursor_.scalar<double>(what)};
      default: throw error("{} has the unknown value type {} before byte {}", what, type, cursor_.position());
    }
  }

  bool read_bool(std::string_view what) {
    const auto at = cursor_.position();
    const auto value = cursor_.scalar<uint8_t>(what);
    if (value > 1) throw error("{} has the bool {} at byte {}, expected 0 or 1", what, value, at);
    return value != 0;
  }

  template <class Stored, class Kept>
  GgufArray numbers(uint64_t n, std::string_view what) {
    std::vector<Kept> out;
    std::array<Stored, 1024> piece;
    out.reserve(size_t(n));  // n elements are known to be in the file
    while (out.size() < n) {
      const auto count = size_t(std::min<uint64_t>(piece.size(), n - out.size()));
      cursor_.read(std::as_writable_bytes(std::span(piece).first(count)), what);
      out.insert(out.end(), piece.begin(), piece.begin() + ptrdiff_t(count));
    }
    return out;
  }

  GgufValue read_array(std::string_view what) {
    const auto at = cursor_.position();
    const auto type = cursor_.scalar<uint32_t>(what);
    if (type == kGgufArray) throw error("{} at byte {} is an array of arrays, which no loader accepts", what, at);
    if (type_bytes(type) == 0) throw error("{} at byte {} is an array of the unknown type {}", what, at, type);
    const auto n = cursor_.scalar<uint64_t>(what);
    if (n > kMaxArray || n > cursor_.left() / type_bytes(type))
      throw error("{} at byte {} claims {} elements of {}, more than the file can hold; the file is truncated or corrupt", what, at, n,
                  gguf_type_name(type));
    return {kGgufArray, type, read_elements(type, n, what)};
  }

  GgufArray read_elements(uint32_t type, uint64_t n, std::string_view what) {
    switch (type) {
      case kGgufU8: return numbers<uint8_t, uint64_t>(n, what);
      case kGgufI8: return numbers<int8_t, int64_t>(n, what);
      case kGgufU16: return numbers<uint16_t, uint64_t>(n, what);
      case kGgufI16: return numbers<int16_t, int64_t>(n, what);
      case kGgufU32: return numbers<uint32_t, uint64_t>(n, what);
      case kGgufI32: return numbers<int32_t, int64_t>(n, what);
      case kGgufF32: return numbers<float, double>(n, what);
      case kGgufU64: return numbers<uint64_t, uint64_t>(n, what);
      case kGgufI64: return numbers<int64_t, int64_t>(n, what);
      case kGgufF64: return numbers<double, double>(n, what);
      case kGgufBool: {
        std::vector<bool> out;
        for (uint64_t i = 0; i < n; ++i) out.push_back(read_bool(what));
        return out;
      }
      default: {
        std::vector<std::string> out;
        for (uint64_t i = 0; i < n; ++i) out.push_back(cursor_.text(kMaxHeader, what));
        return out;
      }
    }
  }

  void read_alignment() {
    const auto* value = header_.metadata.find("general.alignment");
    if (!value) return;
    if (value->type != kGgufU32) throw error("general.alignment has the type {}, expected u32", gguf_type_name(value->type));
    header_.alignment = std::get<uint64_t>(value->value);
    if (!std::has_single_bit(header_.alignment) || header_.alignment > kMaxAlignment)
      throw error("general.alignment is {}, expected a power of two up to {}", header_.alignment, kMaxAlignment);
  }

  void read_tensor(uint64_t number) {
    const auto at = cursor_.position();
    TensorInfo tensor;
    tensor.name = cursor_.text(kGgufMaxTensorName, fmt::format("the name of tensor {}", number));
    if (tensor.name.empty() || tensor.name.find('\0') != tensor.name.npos)
      throw error("tensor {} at byte {} has the name \"{}\", expected 1 to {} bytes without NUL", number, at, printable(tensor.name), kGgufMaxTensorName);
    if (!names_.insert(tensor.name).second) throw error("tensor \"{}\" at byte {} stands twice", printable(tensor.name), at);
    const auto what = fmt::format("tensor \"{}\"", printable(tensor.name));
    const auto dims = cursor_.scalar<uint32_t>(what);
    if (dims > kGgufMaxDims) throw error("{} at byte {} has {} dimensions, at most {} are allowed", what, at, dims, kGgufMaxDims);
    for (uint32_t i = 0; i < dims; ++i) {
      const auto n = cursor_.scalar<int64_t>(what);
      if (n <= 0) throw error("{} at byte {} has the size {} in dimension {}, expected a positive number", what, at, n, i);
      tensor.shape.push_back(n);
    }
    std::reverse(tensor.shape.begin(), tensor.shape.end());  // ne[0] is the innermost
    const auto type = cursor_.scalar<uint32_t>(what);
    const auto dtype = dtype_from_ggml(int64_t(type));
    if (!dtype) throw error("{} at byte {} has the ggml type {}, which is not supported", what, at, type);
    tensor.dtype = *dtype;
    tensor.bytes = tensor_size(tensor.dtype, tensor.shape, kWhere, subject_, tensor.name).bytes;
    tensor.offset = cursor_.scalar<uint64_t>(what);  // relative to the data for now
    header_.tensors.push_back(std::move(tensor));
  }

  // Offsets must be the running sum of the padded sizes. The padding after the last tensor may be missing.
  void place_tensors() {
    const auto start = *checked_round_up(cursor_.position(), header_.alignment);
    uint64_t expected = 0, end = cursor_.position();
    for (auto& tensor : header_.tensors) {
      if (tensor.offset != expected)
        throw error("tensor \"{}\" has the offset {}, expected {} (the sum of the padded sizes before it)", printable(tensor.name), tensor.offset, expected);
      const auto last = checked_add(start, expected), padded = checked_round_up(tensor.bytes, header_.alignment);
      const auto stop = last ? checked_add(*last, tensor.bytes) : std::nullopt;
      const auto next = padded ? checked_add(expected, *padded) : std::nullopt;
      if (!stop || !next || *stop > file_bytes_)
        throw error("tensor \"{}\" of {} bytes at offset {} goes beyond the end of the file at byte {}; the file is truncated or corrupt",
                    printable(tensor.name), tensor.bytes, tensor.offset, file_bytes_);
      tensor.offset = *last;
      end = *stop;
      expected = *next;
    }
    const auto padded_end = checked_round_up(end, header_.alignment);
    if (!padded_end || file_bytes_ > *padded_end)
      throw error("has {} bytes after the last tensor, which ends at byte {}; the file is corrupt", file_bytes_ - end, end);
  }

  Cursor cursor_;
  std::string_view subject_;
  uint64_t file_bytes_, tensors_ = 0, keys_ = 0;
  GgufHeader header_;
  std::unordered_set<std::string> names_;
};

}  // namespace

GgufHeader parse_gguf_header(const ByteSource& bytes, std::string_view subject) { return Parser(bytes, subject).parse(); }

}  // namespace teeny
