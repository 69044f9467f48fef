// The merges of a BPE over one word: lowest rank first, leftmost among equals.
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
  std::string normalized, marked, prefixed;

 private:
  static constexpr size_t kEntries = 1 << 14, kWays = 4;  // 1 MiB: the bound of the cache
  std::unique_ptr<Entry[]> entries_;
  uint32_t victim_ = 0;
};

class BpeModel {
 public:
  // Throws Input for a vocabulary or merges that contradict each other.
  BpeModel(const BpeData& data, std::string_view subject);
  // Appends the ids of `piece`: raw bytes, or UTF-8 for the alphabet of characters. What has no token: see Symbols.
  void encode_piece(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& out) const;
  int32_t id_of(std::string_view token) const {
    const auto it = ids_.find(token);
    return it == ids_.end() ? -1 : it->second;
  }
  // No token holds U+2581 behind another character, and it is a token: a text may be cut there without changing its ids.
  bool words_are_separate() const { return words_are_separate_; }

 private:
  struct Merge {
    uint32_t rank = 0;
    int32_t id = -1;
  };
  void read_tokens(const BpeData& data, std::string_view subject);
  void read_symbols(const BpeData& data);
  void read_merges(const BpeData& data, std::string_view subject);
  void read_scores(const BpeData& data);
  void look_for_words(const BpeData& data);
  template <class Put>
  void symbols_of(std::string_view piece, Put&& put) const;
  int32_t symbol_of(uint32_t code_point) const;
  void merge_piece(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& out) const;
  void merge_short(int32_t* ids, size_t n, std::vector<int32_t>& out) const;
  void merge_long(BpeScratch& scratch, std::vector<int32_t>& out) const;
  void give_bytes(size_t from, std::vector<int32_t>& out) const;
  const Merge* merge_of(int32_t left, int32_t right) const {
    return merges_.find(static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right));
  }

  std::unordered_map<std::string_view, int32_t> ids_;    // views into BpeData::tokens of the owner
  std::unordered_map<std::string, int32_t> whole_;       // a piece -> id; filled only for ignore_merges
  std::array<int32_t, 256> byte_ids_{};                  // the byte's symbol, or its token <0xHH>
  FlatMap<int32_t> char_ids_;                            // code point -> symbol
  FlatMap<Merge> merges_;
  // With scores: symbols from size_ on are no tokens. The first 256 stand for bytes, the rest for lone_chars_.
  int32_t size_;
  std::vector<std::string> lone_chars_;
  std::vector<bool> in_model_;
  int32_t unk_;
  bool by_characters_, by_score_, ignore_merges_, byte_fallback_, fuse_unk_, words_are_separate_ = false;
};

}  // namespace teeny
