// What has been written of every planned tensor: exact ranges, so that a piece put twice does not pass for a missing one.
#pragma once
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "teeny/containers/sink.h"

namespace teeny {

class SinkProgress {
 public:
  struct Planned {
    size_t file = 0;
    uint64_t offset = 0, bytes = 0;  // place in the file
  };
  // Usage of the names is checked here: a planned name that stands twice is a Bug.
  void plan(const std::string& name, Planned place);
  // Where to write; claims [offset, offset + size) of the tensor. Bug: unknown, out of range, or written already. Thread-safe.
  Planned claim(const std::string& name, uint64_t size, uint64_t offset);
  // Bug when a byte of some tensor was never written; afterwards every claim is a Bug.
  void finish();

 private:
  struct Entry {
    Planned place;
    std::map<uint64_t, uint64_t> written;  // begin -> end, disjoint and merged
  };
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
  std::vector<const std::string*> order_;
  bool finished_ = false;
};

}  // namespace teeny
