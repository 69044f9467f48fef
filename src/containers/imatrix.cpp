#include "teeny/containers/imatrix.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <set>

#include "teeny/containers/source.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

static_assert(std::endian::native == std::endian::little);
constexpr const char* kWhere = "imatrix";
constexpr int32_t kMaxEntries = 1 << 20, kMaxText = 4096;

class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::string_view subject) : bytes_(bytes), subject_(subject) {}
  bool done() const { return at_ == bytes_.size(); }
  size_t left() const { return bytes_.size() - at_; }

  int32_t number(std::string_view what) {
    int32_t value = 0;
    copy(&value, sizeof value, what);
    return value;
  }
  int32_t count(std::string_view what, int32_t most, size_t width) {
    const size_t place = at_;
    const int32_t n = number(what);
    if (n < 0 || n > most || size_t(n) > left() / width)
      throw input_error(kWhere, subject_, "{} at byte {} is {}, more than the file can hold; it is no imatrix file, or damaged", what, place, n);
    return n;
  }
  std::string text(std::string_view what) {
    std::string out(size_t(count(what, kMaxText, 1)), '\0');
    copy(out.data(), out.size(), what);
    return out;
  }
  void copy(void* out, size_t size, std::string_view what) {
    if (size > left()) throw input_error(kWhere, subject_, "{} at byte {} needs {} bytes, the file ends at byte {}; it is no imatrix file, or cut off", what, at_, size, bytes_.size());
    if (size) std::memcpy(out, bytes_.data() + at_, size);
    at_ += size;
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view subject_;
  size_t at_ = 0;
};

ImatrixEntry read_entry(Cursor& cursor, std::string_view subject) {
  ImatrixEntry entry;
  entry.name = cursor.text("the length of a name");
  if (entry.name.empty()) throw input_error(kWhere, subject, "an entry has no name; it is no imatrix file, or damaged");
  entry.calls = cursor.number("the number of calls");
  if (entry.calls < 0) throw input_error(kWhere, subject, "{} has {} calls; the file is damaged", printable(entry.name), entry.calls);
  entry.values.resize(size_t(cursor.count("the number of values", INT32_MAX, sizeof(float))));
  if (entry.values.empty()) throw input_error(kWhere, subject, "{} has no values; the file is damaged", printable(entry.name));
  cursor.copy(entry.values.data(), entry.values.size() * sizeof(float), "the values");
  for (float& value : entry.values) {
    if (!std::isfinite(value) || value < 0) throw input_error(kWhere, subject, "{} has the value {}, importance is finite and not negative; make the file again", printable(entry.name), value);
    if (entry.calls > 0) value /= float(entry.calls);
  }
  return entry;
}

}  // namespace

bool looks_like_gguf(std::span<const std::byte> bytes) { return bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0; }

ImatrixDat parse_imatrix_dat(std::span<const std::byte> bytes, std::string_view subject) {
  Cursor cursor(bytes, subject);
  ImatrixDat out;
  std::set<std::string> names;
  const int32_t n = cursor.count("the number of entries", kMaxEntries, 4 * sizeof(int32_t));
  if (n == 0) throw input_error(kWhere, subject, "has no entries; make it again with more text");
  for (int32_t i = 0; i < n; ++i) {
    out.entries.push_back(read_entry(cursor, subject));
    if (!names.insert(out.entries.back().name).second) throw input_error(kWhere, subject, "{} stands twice; the file is damaged", printable(out.entries.back().name));
  }
  if (cursor.done()) return out;
  out.chunks = cursor.number("the number of chunks");
  if (!cursor.done()) out.dataset = cursor.text("the length of the data set's name");
  if (!cursor.done()) throw input_error(kWhere, subject, "has {} bytes after its end; it is no imatrix file, or damaged", cursor.left());
  return out;
}

}  // namespace teeny
