// The tokenizer itself: added tokens, NFC, pre-tokenizer, merges, and the way back.
#include "teeny/text/tokenizer.h"

#include <algorithm>
#include <mutex>
#include <unordered_set>

#include "teeny/core/error.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/byte_level.h"
#include "text/nfc.h"
#include "text/pre_tokenizer.h"
#include "text/utf8.h"

namespace teeny {
namespace {

constexpr int64_t kMaxIds = 1 << 22;

void check_data(const BpeData& data, std::string_view subject) {
  const auto size = static_cast<int64_t>(data.tokens.size());
  if (size == 0) throw input_error("tokenizer", subject, "the vocabulary is empty; is this a tokenizer?");
  if (size > kMaxIds) throw input_error("tokenizer", subject, "{} tokens, more than the limit {}; is the file damaged?", size, kMaxIds);
  std::unordered_set<std::string_view> seen;
  for (const AddedToken& token : data.added) {
    if (token.content.empty()) throw input_error("tokenizer", subject, "added token {} is empty; remove it", token.id);
    if (valid_utf8_prefix(token.content) != token.content.size())
      throw input_error("tokenizer", subject, "added token {} is not valid UTF-8; the file is damaged", token.id);
    if (token.id < 0 || token.id >= size || data.tokens[static_cast<size_t>(token.id)] != token.content)
      throw input_error("tokenizer", subject, "added token \"{}\" has id {}, where the vocabulary of {} tokens does not hold it", token.content, token.id, size);
    if (!seen.insert(token.content).second)
      throw input_error("tokenizer", subject, "added token \"{}\" stands twice; remove one", token.content);
  }
  for (const auto& [name, id] : {std::pair("bos", data.bos), std::pair("eos", data.eos), std::pair("pad", data.pad)})
    if (id < -1 || id >= size)
      throw input_error("tokenizer", subject, "the {} id {} is outside the vocabulary of {} tokens", name, id, size);
  if (data.add_bos && data.bos < 0) throw input_error("tokenizer", subject, "a BOS token is to be added, but none is named");
}

AddedTokenMatcher make_matcher(const BpeData& data, bool normalized) {
  std::vector<AddedTokenMatcher::Pattern> patterns;
  std::string storage;
  for (const AddedToken& token : data.added) {
    if (token.normalized != normalized) continue;
    const bool change = normalized && data.nfc;
    patterns.push_back({std::string(change ? normalize_nfc(token.content, storage) : token.content), &token});
  }
  return AddedTokenMatcher(std::move(patterns));
}

// Scratch objects that encode() borrows: as many as threads were ever inside at once.
class ScratchPool {
 public:
  std::unique_ptr<BpeScratch> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<BpeScratch>();
    auto scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void give_back(std::unique_ptr<BpeScratch> scratch) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(scratch));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<BpeScratch>> free_;
};

class BpeTokenizer : public Tokenizer {
 public:
  BpeTokenizer(BpeData data, std::string_view subject)
      : data_((check_data(data, subject), std::move(data))),
        model_(data_, subject),
        raw_added_(make_matcher(data_, false)),
        normalized_added_(make_matcher(data_, true)),
        scan_(scanner_of(data_.pre)) {
    index_bytes();
  }

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    std::vector<int32_t> ids;
    if (add_special && data_.add_bos) ids.push_back(data_.bos);
    std::string repaired;
    text = valid_utf8(text, repaired);
    ids.reserve(ids.size() + text.size() / 4 + 8);
    auto scratch = pool_.take();
    raw_added_.split(
        text, [&](std::string_view part) { encode_part(part, *scratch, ids); }, [&](int32_t id) { ids.push_back(id); });
    pool_.give_back(std::move(scratch));
    return ids;
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string bytes, repaired;
    for (const int32_t id : ids)
      if (in_range(id) && !(skip_special && special_[static_cast<size_t>(id)])) bytes += bytes_of(id);
    return std::string(valid_utf8(bytes, repaired));
  }

  std::string decode_bytes(int32_t id) const override { return in_range(id) ? std::string(bytes_of(id)) : std::string(); }
  int64_t size() const override { return static_cast<int64_t>(data_.tokens.size()); }
  int32_t id_of(std::string_view token) const override { return token.empty() ? -1 : model_.id_of(token); }
  const BpeData& data() const override { return data_; }

 private:
  bool in_range(int32_t id) const { return id >= 0 && id < size(); }
  std::string_view bytes_of(int32_t id) const {
    const auto i = static_cast<size_t>(id);
    return std::string_view(bytes_).substr(byte_starts_[i], byte_starts_[i + 1] - byte_starts_[i]);
  }

  // A stretch of text without added tokens that match raw text.
  void encode_part(std::string_view part, BpeScratch& scratch, std::vector<int32_t>& ids) const {
    if (data_.nfc) part = normalize_nfc(part, scratch.normalized);
    normalized_added_.split(
        part, [&](std::string_view piece) { encode_plain(piece, scratch, ids); }, [&](int32_t id) { ids.push_back(id); });
  }

  void encode_plain(std::string_view text, BpeScratch& scratch, std::vector<int32_t>& ids) const {
    if (data_.prefix_space && text[0] != ' ') {
      scratch.prefixed.assign(1, ' ').append(text);
      text = scratch.prefixed;
    }
    const char *p = text.data(), *end = p + text.size();
    while (p < end) {
      const char* next = scan_(p, end);
      model_.encode_piece({p, static_cast<size_t>(next - p)}, scratch, ids);
      p = next;
    }
  }

  void index_bytes() {
    std::vector<const AddedToken*> added(data_.tokens.size(), nullptr);
    for (const AddedToken& token : data_.added) added[static_cast<size_t>(token.id)] = &token;
    special_.resize(data_.tokens.size());
    std::string storage, bytes;
    byte_starts_.push_back(0);
    for (size_t id = 0; id < data_.tokens.size(); ++id) {
      special_[id] = added[id] && added[id]->special;
      std::string_view token = data_.tokens[id];
      if (added[id] && added[id]->normalized && data_.nfc) token = normalize_nfc(token, storage);
      byte_level_decode(token, bytes);
      bytes_ += bytes;
      byte_starts_.push_back(bytes_.size());
    }
  }

  BpeData data_;
  BpeModel model_;
  AddedTokenMatcher raw_added_, normalized_added_;
  Scanner scan_;
  std::string bytes_;                // what every token decodes to, one after the other
  std::vector<size_t> byte_starts_;  // size() + 1
  std::vector<bool> special_;
  mutable ScratchPool pool_;
};

}  // namespace

std::shared_ptr<Tokenizer> make_tokenizer(BpeData data, std::string_view subject) {
  return std::make_shared<BpeTokenizer>(std::move(data), subject);
}

}  // namespace teeny
