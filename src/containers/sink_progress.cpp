#include "containers/sink_progress.h"

#include "containers/common.h"
#include "teeny/core/checked.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
template <class... A>
Error bug(const std::string& name, fmt::format_string<A...> format, A&&... args) {
  return Error(ErrorKind::Bug, "write", printable(name), fmt::format(format, std::forward<A>(args)...) + "; this is a bug in teeny, please report it");
}
}  // namespace

uint64_t TensorSpec::bytes() const { return tensor_size(dtype, shape, "write", "output", name).bytes; }

void SinkProgress::plan(const std::string& name, Planned place) {
  const auto [at, fresh] = entries_.emplace(name, Entry{place, {}});
  if (!fresh) throw bug(name, "the tensor was planned twice");
  order_.push_back(&at->first);
}

SinkProgress::Planned SinkProgress::claim(const std::string& name, uint64_t size, uint64_t offset) {
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(name);
  if (finished_) throw bug(name, "the tensor came after the file was finished");
  if (at == entries_.end()) throw bug(name, "the tensor was not planned");
  auto& [place, written] = at->second;
  if (offset > place.bytes || size > place.bytes - offset)
    throw bug(name, "{} bytes at offset {} do not fit into the {} planned", size, offset, place.bytes);
  if (size > 0) {
    auto next = written.lower_bound(offset);
    if (next != written.end() && next->first < offset + size) throw bug(name, "bytes at offset {} were written twice", next->first);
    uint64_t begin = offset, end = offset + size;
    if (next != written.begin()) {
      const auto before = std::prev(next);
      if (before->second > offset) throw bug(name, "bytes at offset {} were written twice", offset);
      if (before->second == offset) begin = before->first, written.erase(before);
    }
    if (next != written.end() && next->first == end) end = next->second, written.erase(next);
    written.emplace(begin, end);
  }
  return {place.file, place.offset + offset, size};
}

void SinkProgress::finish() {
  const std::lock_guard lock(mutex_);
  for (const auto* name : order_) {
    const auto& [place, written] = entries_.at(*name);
    if (place.bytes == 0) continue;
    uint64_t have = 0;
    for (const auto& [begin, end] : written) have += end - begin;
    if (have != place.bytes) throw bug(*name, "{} of {} bytes were written", have, place.bytes);
  }
  finished_ = true;
}

}  // namespace teeny
