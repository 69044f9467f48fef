// The merges of a byte-level BPE over one pre-tokenized piece: lowest rank first, leftmost among equals.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "teeny/text/tokenizer.h"
#include "text/flat_map.h"

namespace teeny {

// Scratch memory and the cache of one thread at work. Pieces repeat: most of a text is found in the cache.
class BpeScratch {
 public:
  static constexpr size_t kMaxKey = 24, kMaxIds = 8;
  struct Entry {  // one cache line; length 0: empty
    char key[kMaxKey];
    int32_t ids[kMaxIds - 1];
    uint8_t length, count;
    uint16_t unused;
  };
  BpeScratch() : entries_(new Entry[kEntries]()) {}
  // The entry where `piece` (1..kMaxKey bytes) is or belongs; hit tells which.
  Entry& look_up(std::string_view piece, bool& hit);

  struct Symbol {
    int32_t id;
    uint32_t previous, next;
  };
  struct Candidate {
    uint32_t rank, at;
    int32_t left, right, merged;
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
  std::string normalized, prefixed;

 private:
  static constexpr size_t kEntries = 1 << 14, kWays = 4;  // 1 MiB: the bound of the cache
  std::unique_ptr<Entry[]> entries_;
  uint32_t victim_ = 0;
};

class BpeModel {
 public:
  // Throws Input for a vocabulary or merges that contradict each other.
  BpeModel(const BpeData& data, std::string_view subject);
  // Appends the ids of `piece`. A byte without a token of its own is dropped, as tokenizers does without an unk token.
  void encode_piece(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& out) const;
  int32_t id_of(std::string_view token) const {
    const auto it = ids_.find(token);
    return it == ids_.end() ? -1 : it->second;
  }

 private:
  struct Merge {
    uint32_t rank = 0;
    int32_t id = -1;
  };
  void merge_piece(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& out) const;
  void merge_short(int32_t* ids, size_t n, std::vector<int32_t>& out) const;
  void merge_long(BpeScratch& scratch, std::vector<int32_t>& out) const;
  const Merge* merge_of(int32_t left, int32_t right) const {
    return merges_.find(static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right));
  }

  std::unordered_map<std::string_view, int32_t> ids_;    // views into BpeData::tokens of the owner
  std::unordered_map<std::string, int32_t> whole_;       // raw bytes -> id; filled only for ignore_merges
  std::array<int32_t, 256> byte_ids_{};
  FlatMap<Merge> merges_;
  bool ignore_merges_;
};

}  // namespace teeny
