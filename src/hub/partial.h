// A blob on its way: "<blob>.teeny-incomplete", and beside it "....state", which says what of it is there. Blocks may
// arrive in any order. (huggingface_hub has other names for its own, and takes no notice of these.)
#pragma once
#include <algorithm>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "teeny/core/context.h"

namespace teeny::hub {

inline constexpr uint64_t kBlockBytes = 4 << 20;

class Partial {
 public:
  // Opens what an earlier run left, or begins. Links are not followed. Only under the blob's lock.
  Partial(const std::string& blob, uint64_t bytes);
  ~Partial();
  Partial(const Partial&) = delete;
  Partial& operator=(const Partial&) = delete;

  uint64_t bytes() const { return bytes_; }
  size_t blocks() const { return done_.size(); }
  uint64_t bytes_done() const;
  bool resumed() const { return resumed_; }  // something of an earlier run is in it
  std::string etag() const;
  // Of the server that sends the content, to be sure at the next start that it still is the same content. Kept only
  // when it is a strong one and fits.
  void set_etag(const std::string& etag);
  void reset();  // begin again
  // The next run of blocks that nobody has and nobody works on, at most `most` of them; claimed until release().
  std::optional<std::pair<size_t, size_t>> claim(size_t most);
  void release(size_t first, size_t count);
  bool has(size_t block) const;
  void write(uint64_t offset, std::span<const std::byte> bytes);  // Device error when the disk is full
  void mark(size_t block);                                        // all its bytes are written
  uint64_t block_start(size_t block) const { return block * kBlockBytes; }
  uint64_t block_end(size_t block) const { return std::min(bytes_, (block + 1) * kBlockBytes); }
  // Checks the content id (64 digits: sha256; 40: git's blob id), flushes, renames to the blob. False, and everything
  // removed, when the content is another.
  bool finish(const std::string& content, const Context& context);
  void discard();

 private:
  std::string content_id(size_t digits, const Context& context) const;
  void write_state();
  std::string blob_, path_, state_path_, etag_;
  uint64_t bytes_;
  int fd_ = -1, state_ = -1;
  bool resumed_ = false;
  mutable std::mutex mutex_;
  std::vector<char> done_, claimed_;
};

}  // namespace teeny::hub
