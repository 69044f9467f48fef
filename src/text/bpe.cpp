#include "text/bpe.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "teeny/core/error.h"
#include "text/byte_level.h"
#include "text/utf8.h"

namespace teeny {
namespace {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();
constexpr size_t kShort = 48;  // symbols up to which a scan for the lowest rank beats a heap
constexpr std::string_view kMarker = "\xE2\x96\x81";

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
    : merges_(data.merges.size()),
      size_(static_cast<int32_t>(data.tokens.size())),
      in_model_(data.tokens.size(), true),
      unk_(data.unk),
      by_characters_(data.alphabet == Alphabet::Characters),
      by_score_(!data.scores.empty()),
      ignore_merges_(data.ignore_merges),
      byte_fallback_(data.byte_fallback),
      fuse_unk_(data.fuse_unk) {
  for (const AddedToken& token : data.added) in_model_[static_cast<size_t>(token.id)] = token.in_model;
  read_tokens(data, subject);
  read_symbols(data);
  if (by_score_) {
    read_scores(data);
  } else {
    read_merges(data, subject);
  }
  if (by_characters_) look_for_words(data);
  if (!ignore_merges_) return;
  std::string bytes;
  for (const auto& [token, id] : ids_) {
    if (!in_model_[static_cast<size_t>(id)]) continue;
    if (by_characters_) {
      whole_.emplace(token, id);
    } else if (byte_level_decode(token, bytes)) {
      whole_.emplace(bytes, id);
    }
  }
}

void BpeModel::read_tokens(const BpeData& data, std::string_view subject) {
  ids_.reserve(data.tokens.size());
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const std::string& token = data.tokens[id];
    if (token.empty()) continue;
    if (valid_utf8_prefix(token) != token.size())
      throw input_error("tokenizer", subject, "token {} is not valid UTF-8; the vocabulary is damaged", id);
    const auto [it, fresh] = ids_.emplace(token, static_cast<int32_t>(id));
    if (!fresh) throw input_error("tokenizer", subject, "tokens {} and {} are both \"{}\"; tokens must be unique", it->second, id, token);
  }
}

void BpeModel::read_symbols(const BpeData& data) {
  const auto model_id = [&](std::string_view token) {
    const int32_t id = id_of(token);
    return id >= 0 && in_model_[static_cast<size_t>(id)] ? id : -1;
  };
  for (int byte = 0; byte < 256; ++byte) {
    std::string symbol = by_characters_ ? fmt::format("<0x{:02X}>", byte) : "";
    if (!by_characters_) append_utf8(symbol, byte_level_char(static_cast<uint8_t>(byte)));
    byte_ids_[static_cast<size_t>(byte)] = model_id(symbol);
  }
  if (!by_characters_) return;
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const std::string& token = data.tokens[id];
    int length = 0;
    if (token.empty() || !in_model_[id]) continue;
    const uint32_t c = decode_utf8(token.data(), length);
    if (static_cast<size_t>(length) == token.size()) char_ids_[c] = static_cast<int32_t>(id) + 1;
  }
}

void BpeModel::read_merges(const BpeData& data, std::string_view subject) {
  for (size_t rank = 0; rank < data.merges.size(); ++rank) {
    const auto& [left, right] = data.merges[rank];
    const int32_t a = id_of(left), b = id_of(right), merged = id_of(left + right);
    for (const auto& [id, token] : {std::pair(a, left), std::pair(b, right), std::pair(merged, left + right)})
      if (id < 0)
        throw input_error("tokenizer", subject, "merge {} (\"{}\" + \"{}\") needs the token \"{}\", which the vocabulary lacks", rank, left, right, token);
    // A pair that stands twice gets its last rank, as in tokenizers.
    merges_[static_cast<uint64_t>(a) << 32 | static_cast<uint32_t>(b)] = {static_cast<uint32_t>(rank), merged};
  }
}

// SentencePiece's merging: any two neighbours that together are a token, the highest score first.
void BpeModel::read_scores(const BpeData& data) {
  std::vector<int32_t> order;
  for (int32_t id = 0; id < size_; ++id)
    if (!data.tokens[static_cast<size_t>(id)].empty() && in_model_[static_cast<size_t>(id)]) order.push_back(id);
  const auto score = [&](int32_t id) { return data.scores[static_cast<size_t>(id)]; };
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return score(a) > score(b); });
  // A part is a token, or a lone character: one that is no token by itself but may become part of one.
  const auto part = [&](std::string_view text) -> int32_t {
    if (const int32_t id = id_of(text); id >= 0 && in_model_[static_cast<size_t>(id)]) return id;
    int length = 0;
    const uint32_t c = decode_utf8(text.data(), length);
    if (static_cast<size_t>(length) != text.size()) return -1;
    int32_t& symbol = char_ids_[c];
    if (symbol == 0) {
      lone_chars_.emplace_back(text);
      symbol = size_ + 256 + static_cast<int32_t>(lone_chars_.size());
    }
    return symbol - 1;
  };
  uint32_t rank = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && score(order[i]) != score(order[i - 1])) ++rank;
    const std::string_view token = data.tokens[static_cast<size_t>(order[i])];
    int length = 0;
    decode_utf8(token.data(), length);
    for (size_t at = static_cast<size_t>(length); at < token.size(); at += static_cast<size_t>(length)) {
      const int32_t left = part(token.substr(0, at)), right = part(token.substr(at));
      decode_utf8(token.data() + at, length);
      if (left >= 0 && right >= 0) merges_[static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right)] = {rank, order[i]};
    }
  }
}

void BpeModel::look_for_words(const BpeData& data) {
  words_are_separate_ = !ignore_merges_ && (by_score_ || unk_ < 0 || symbol_of(0x2581) >= 0);
  for (size_t id = 0; id < data.tokens.size() && words_are_separate_; ++id) {
    if (!in_model_[id]) continue;
    std::string_view token = data.tokens[id];
    while (token.starts_with(kMarker)) token.remove_prefix(kMarker.size());
    words_are_separate_ = token.find(kMarker) == std::string_view::npos;
  }
}

int32_t BpeModel::symbol_of(uint32_t code_point) const {
  const int32_t* symbol = char_ids_.find(code_point);
  return symbol ? *symbol - 1 : -1;
}

// What the piece is made of before any merge. A byte without a symbol is dropped. A character without one gives its bytes'
// tokens when all of them exist, else the unknown token, else nothing.
template <class Put>
void BpeModel::symbols_of(std::string_view piece, Put&& put) const {
  if (!by_characters_) {
    for (const char c : piece)
      if (const int32_t id = byte_ids_[static_cast<uint8_t>(c)]; id >= 0) put(id);
    return;
  }
  bool unknown = false;  // an unknown token is due: with fuse_unk one for the whole run
  for (size_t at = 0; at < piece.size();) {
    int length = 0;
    const int32_t id = symbol_of(decode_utf8(piece.data() + at, length));
    const std::string_view bytes = piece.substr(at, static_cast<size_t>(length));
    at += bytes.size();
    const auto has_token = [&](char c) { return byte_ids_[static_cast<uint8_t>(c)] >= 0; };
    if (id >= 0) {
      if (std::exchange(unknown, false)) put(unk_);
      put(id);
    } else if (by_score_) {
      for (const char c : bytes) put(size_ + static_cast<uint8_t>(c));
    } else if (byte_fallback_ && std::all_of(bytes.begin(), bytes.end(), has_token)) {
      for (const char c : bytes) put(byte_ids_[static_cast<uint8_t>(c)]);  // goes before an unknown token that is due
    } else if (unk_ >= 0) {
      if (unknown && !fuse_unk_) put(unk_);
      unknown = true;
    }
  }
  if (unknown) put(unk_);
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
  const size_t before = out.size();
  if (piece.size() <= kShort) {
    int32_t ids[kShort];
    size_t n = 0;
    symbols_of(piece, [&](int32_t id) { ids[n++] = id; });
    merge_short(ids, n, out);
  } else {
    if (piece.size() >= kNone) throw input_error("tokenizer", "text", "one word of {} bytes is too long; split the text", piece.size());
    auto& symbols = scratch.symbols;
    symbols.clear();
    symbols_of(piece, [&](int32_t id) {
      const auto i = static_cast<uint32_t>(symbols.size());
      symbols.push_back({id, i == 0 ? kNone : i - 1, i + 1});
    });
    if (symbols.empty()) return;
    symbols.back().next = kNone;
    merge_long(scratch, out);
  }
  if (by_score_) give_bytes(before, out);
}

// Symbols that are no tokens become the tokens of their bytes.
void BpeModel::give_bytes(size_t from, std::vector<int32_t>& out) const {
  const auto start = out.begin() + static_cast<ptrdiff_t>(from);
  if (std::none_of(start, out.end(), [&](int32_t id) { return id >= size_; })) return;
  const std::vector<int32_t> symbols(start, out.end());
  out.resize(from);
  const auto put = [&](uint8_t byte) {
    const int32_t id = byte_ids_[byte] >= 0 ? byte_ids_[byte] : unk_;
    if (id >= 0) out.push_back(id);
  };
  for (const int32_t id : symbols) {
    if (id < size_) {
      out.push_back(id);
    } else if (id < size_ + 256) {
      put(static_cast<uint8_t>(id - size_));
    } else {
      for (const char c : lone_chars_[static_cast<size_t>(id - size_ - 256)]) put(static_cast<uint8_t>(c));
    }
  }
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
