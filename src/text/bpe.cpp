#include "text/bpe.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "teeny/core/error.h"
#include "text/byte_level.h"
#include "text/utf8.h"

namespace teeny {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
constexpr size_t kShort = 48;  // symbols up to which a scan for the lowest rank beats a heap

}  // namespace

BpeScratch::Entry& BpeScratch::look_up(std::string_view piece, bool& hit) {
  alignas(8) char key[kMaxKey] = {};
  std::memcpy(key, piece.data(), piece.size());
  uint64_t a, b, c;
  std::memcpy(&a, key, 8), std::memcpy(&b, key + 8, 8), std::memcpy(&c, key + 16, 8);
  const uint64_t hash = mix64(mix64(mix64(a + piece.size()) + b) + c);
  Entry* set = entries_.get() + (hash & (kEntries / kWays - 1)) * kWays;
  Entry* free = nullptr;
  for (size_t way = 0; way < kWays; ++way) {
    Entry& entry = set[way];
    if (entry.length == piece.size() && std::memcmp(entry.key, key, kMaxKey) == 0) return hit = true, entry;
    if (entry.length == 0 && !free) free = &entry;
  }
  if (!free) free = set + (victim_++ % kWays);
  std::memcpy(free->key, key, kMaxKey);
  free->length = 0;  // until the caller has filled it
  hit = false;
  return *free;
}

BpeModel::BpeModel(const BpeData& data, std::string_view subject)
    : merges_(data.merges.size()), ignore_merges_(data.ignore_merges) {
  ids_.reserve(data.tokens.size());
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const std::string& token = data.tokens[id];
    if (token.empty()) continue;
    if (valid_utf8_prefix(token) != token.size())
      throw input_error("tokenizer", subject, "token {} is not valid UTF-8; the vocabulary is damaged", id);
    const auto [it, fresh] = ids_.emplace(token, static_cast<int32_t>(id));
    if (!fresh) throw input_error("tokenizer", subject, "tokens {} and {} are both \"{}\"; tokens must be unique", it->second, id, token);
  }
  for (int byte = 0; byte < 256; ++byte) {
    std::string symbol;
    append_utf8(symbol, byte_level_char(static_cast<uint8_t>(byte)));
    byte_ids_[static_cast<size_t>(byte)] = id_of(symbol);
  }
  for (size_t rank = 0; rank < data.merges.size(); ++rank) {
    const auto& [left, right] = data.merges[rank];
    const int32_t a = id_of(left), b = id_of(right), merged = id_of(left + right);
    for (const auto& [id, token] : {std::pair(a, left), std::pair(b, right), std::pair(merged, left + right)})
      if (id < 0)
        throw input_error("tokenizer", subject, "merge {} (\"{}\" + \"{}\") needs the token \"{}\", which the vocabulary lacks", rank, left, right, token);
    // A pair that stands twice gets its last rank, as in tokenizers.
    merges_[static_cast<uint64_t>(a) << 32 | static_cast<uint32_t>(b)] = {static_cast<uint32_t>(rank), merged};
  }
  if (!ignore_merges_) return;
  std::string bytes;
  for (const auto& [token, id] : ids_)
    if (byte_level_decode(token, bytes)) whole_.emplace(bytes, id);
}

void BpeModel::encode_piece(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& out) const {
  if (piece.empty()) return;
  if (piece.size() > BpeScratch::kMaxKey) return merge_piece(piece, scratch, out);
  bool hit = false;
  BpeScratch::Entry& entry = scratch.look_up(piece, hit);
  if (hit) {
    out.insert(out.end(), entry.ids, entry.ids + entry.count);
    return;
  }
  const size_t before = out.size();
  merge_piece(piece, scratch, out);
  const size_t count = out.size() - before;
  if (count > std::size(entry.ids)) return;
  std::copy_n(out.begin() + static_cast<ptrdiff_t>(before), count, entry.ids);
  entry.count = static_cast<uint8_t>(count);
  entry.length = static_cast<uint8_t>(piece.size());
}

void BpeModel::merge_piece(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& out) const {
  if (ignore_merges_) {
    // find() wants a std::string key; pieces of vocabulary tokens are short.
    if (const auto it = whole_.find(std::string(piece)); it != whole_.end()) return out.push_back(it->second);
  }
  if (piece.size() <= kShort) {
    int32_t ids[kShort];
    size_t n = 0;
    for (const char c : piece)
      if (const int32_t id = byte_ids_[static_cast<uint8_t>(c)]; id >= 0) ids[n++] = id;
    return merge_short(ids, n, out);
  }
  if (piece.size() >= kNone) throw input_error("tokenizer", "text", "one word of {} bytes is too long; split the text", piece.size());
  auto& symbols = scratch.symbols;
  symbols.clear();
  for (const char c : piece)
    if (const int32_t id = byte_ids_[static_cast<uint8_t>(c)]; id >= 0) {
      const auto i = static_cast<uint32_t>(symbols.size());
      symbols.push_back({id, i == 0 ? kNone : i - 1, i + 1});
    }
  if (symbols.empty()) return;
  symbols.back().next = kNone;
  merge_long(scratch, out);
}

void BpeModel::merge_short(int32_t* ids, size_t n, std::vector<int32_t>& out) const {
  Merge best[kShort];  // best[i]: the merge of ids[i] and ids[i + 1]
  const auto look = [&](size_t i) {
    const Merge* merge = merge_of(ids[i], ids[i + 1]);
    best[i] = merge ? *merge : Merge{kNone, -1};
  };
  for (size_t i = 0; i + 1 < n; ++i) look(i);
  while (n > 1) {
    size_t at = 0;
    for (size_t i = 1; i + 1 < n; ++i)
      if (best[i].rank < best[at].rank) at = i;
    if (best[at].rank == kNone) break;
    ids[at] = best[at].id;
    std::memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids);
    std::memmove(best + at, best + at + 1, (n - at - 2) * sizeof *best);
    --n;
    if (at > 0) look(at - 1);
    if (at + 1 < n) look(at);
  }
  out.insert(out.end(), ids, ids + n);
}

// O(n log n): pieces of any length come from users (a megabyte of one letter is one piece).
void BpeModel::merge_long(BpeScratch& scratch, std::vector<int32_t>& out) const {
  auto& symbols = scratch.symbols;
  auto& heap = scratch.heap;
  using Candidate = BpeScratch::Candidate;
  const auto later = [](const Candidate& a, const Candidate& b) { return a.rank != b.rank ? a.rank > b.rank : a.at > b.at; };
  const auto candidate = [&](uint32_t at) {
    const auto& left = symbols[at];
    if (left.next == kNone) return false;
    const Merge* merge = merge_of(left.id, symbols[left.next].id);
    if (merge) heap.push_back({merge->rank, at, left.id, symbols[left.next].id, merge->id});
    return merge != nullptr;
  };
  heap.clear();
  for (uint32_t i = 0; i < symbols.size(); ++i) candidate(i);
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Candidate top = heap.back();
    heap.pop_back();
    auto& left = symbols[top.at];
    if (left.id != top.left || left.next == kNone || symbols[left.next].id != top.right) continue;  // merged since
    auto& right = symbols[left.next];
    left.id = top.merged;
    right.id = -1;
    left.next = right.next;
    if (left.next != kNone) symbols[left.next].previous = top.at;
    if (candidate(top.at)) std::push_heap(heap.begin(), heap.end(), later);
    if (left.previous != kNone && candidate(left.previous)) std::push_heap(heap.begin(), heap.end(), later);
  }
  for (uint32_t i = 0; i != kNone; i = symbols[i].next) out.push_back(symbols[i].id);
}

}  // namespace teeny
