// The tokenizer itself: added tokens, normalizer, pre-tokenizer, merges, and the way back.
#include "teeny/text/tokenizer.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "teeny/core/error.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/decode.h"
#include "text/normalize.h"
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
  for (const auto& [name, id] : {std::pair("bos", data.bos), std::pair("eos", data.eos), std::pair("pad", data.pad), std::pair("unknown", data.unk)})
    if (id < -1 || id >= size)
      throw input_error("tokenizer", subject, "the {} id {} is outside the vocabulary of {} tokens", name, id, size);
  if (data.add_bos && data.bos < 0) throw input_error("tokenizer", subject, "a BOS token is to be added, but none is named");
  if (data.add_eos && data.eos < 0) throw input_error("tokenizer", subject, "an EOS token is to be added, but none is named");
  if (data.scores.empty()) return;
  if (data.scores.size() != data.tokens.size())
    throw input_error("tokenizer", subject, "{} scores for {} tokens; the vocabulary is damaged", data.scores.size(), size);
  for (size_t id = 0; id < data.scores.size(); ++id)
    if (!std::isfinite(data.scores[id])) throw input_error("tokenizer", subject, "the score of token {} is {}; the vocabulary is damaged", id, data.scores[id]);
}

AddedTokenMatcher make_matcher(const BpeData& data, bool normalized) {
  std::vector<AddedTokenMatcher::Pattern> patterns;
  std::string storage, marked;
  for (const AddedToken& token : data.added) {
    if (token.normalized != normalized) continue;
    patterns.push_back({std::string(normalized ? normalize(data, token.content, storage, marked) : token.content), &token});
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
        texts_(data_) {
    if (data_.pre != PreTokenizer::None) stages_ = known_pre_tokenizer(data_.pre).parts();
  }

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    std::vector<int32_t> ids;
    if (add_special && data_.add_bos) ids.push_back(data_.bos);
    std::string repaired;
    text = valid_utf8(text, repaired);
    ids.reserve(ids.size() + text.size() / 4 + 8);
    auto scratch = pool_.take();
    raw_added_.split(
        text, [&](std::string_view part) { encode_part(part, part.data() == text.data(), *scratch, ids); }, [&](int32_t id) { ids.push_back(id); });
    pool_.give_back(std::move(scratch));
    if (add_special && data_.add_eos) ids.push_back(data_.eos);
    return ids;
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override { return decode_from(ids, skip_special, true); }
  std::string decode_continuation(std::span<const int32_t> ids, bool skip_special) const override { return decode_from(ids, skip_special, false); }
  std::string decode_bytes(int32_t id) const override { return texts_.in_range(id) ? std::string(texts_.bytes_of(id)) : std::string(); }
  std::unique_ptr<DecodeStream> decode_stream(bool skip_special) const override { return texts_.stream(skip_special); }
  int64_t size() const override { return static_cast<int64_t>(data_.tokens.size()); }
  int32_t id_of(std::string_view token) const override { return token.empty() ? -1 : model_.id_of(token); }
  const BpeData& data() const override { return data_; }

 private:
  std::string decode_from(std::span<const int32_t> ids, bool skip_special, bool at_start) const {
    std::string out;
    if (data_.decoder == TokenDecoder::ByteLevel) {  // all bytes first: one check of the whole is faster
      std::string repaired;
      for (const int32_t id : ids)
        if (texts_.in_range(id) && !(skip_special && texts_.is_special(id))) out += texts_.bytes_of(id);
      return std::string(valid_utf8(out, repaired));
    }
    const auto stream = texts_.stream(skip_special, at_start);
    for (const int32_t id : ids) out += stream->push(id);
    return out += stream->finish();
  }

  // A stretch of text without added tokens that match raw text.
  void encode_part(std::string_view part, bool at_start, BpeScratch& scratch, std::vector<int32_t>& ids) const {
    part = normalize(data_, part, scratch.normalized, scratch.marked);
    normalized_added_.split(
        part, [&](std::string_view piece) { encode_plain(piece, at_start && piece.data() == part.data(), scratch, ids); },
        [&](int32_t id) { ids.push_back(id); });
  }

  void encode_plain(std::string_view text, bool at_start, BpeScratch& scratch, std::vector<int32_t>& ids) const {
    if (data_.alphabet == Alphabet::Characters) {
      if (data_.metaspace) text = mark_spaces(data_, text, at_start, scratch.prefixed);
      if (data_.split_words) return encode_pieces(text, scan_marked_words, scratch, ids);
      if (model_.words_are_separate()) return encode_pieces(text, scan_marked_runs, scratch, ids);
      return model_.encode_piece(text, scratch, ids);
    }
    if (data_.prefix_space && text[0] != ' ') {
      scratch.prefixed.assign(1, ' ').append(text);
      text = scratch.prefixed;
    }
    if (stages_.size() == 1) return encode_pieces(text, stages_[0].scan, scratch, ids);
    encode_stages(text, stages_, scratch, ids);
  }

  void encode_stages(std::string_view text, std::span<const PreStage> stages, BpeScratch& scratch, std::vector<int32_t>& ids) const {
    if (stages.empty()) return model_.encode_piece(text, scratch, ids);
    const char *p = text.data(), *end = p + text.size();
    while (p < end) {
      const char* next = stages[0].scan(p, end);
      encode_stages({p, static_cast<size_t>(next - p)}, stages.subspan(1), scratch, ids);
      p = next;
    }
  }

  void encode_pieces(std::string_view text, Scanner scan, BpeScratch& scratch, std::vector<int32_t>& ids) const {
    const char *p = text.data(), *end = p + text.size();
    while (p < end) {
      const char* next = scan(p, end);
      model_.encode_piece({p, static_cast<size_t>(next - p)}, scratch, ids);
      p = next;
    }
  }

  BpeData data_;
  BpeModel model_;
  AddedTokenMatcher raw_added_, normalized_added_;
  TokenTexts texts_;
  std::span<const PreStage> stages_;
  mutable ScratchPool pool_;
};

// Gives everything at the end.
class LateStream : public DecodeStream {
 public:
  LateStream(const Tokenizer& tokenizer, bool skip_special) : tokenizer_(tokenizer), skip_special_(skip_special) {}
  std::string push(int32_t id) override { return ids_.push_back(id), std::string(); }
  std::string finish() override { return tokenizer_.decode(std::exchange(ids_, {}), skip_special_); }

 private:
  const Tokenizer& tokenizer_;
  const bool skip_special_;
  std::vector<int32_t> ids_;
};

}  // namespace

std::unique_ptr<DecodeStream> Tokenizer::decode_stream(bool skip_special) const { return std::make_unique<LateStream>(*this, skip_special); }

std::shared_ptr<Tokenizer> make_tokenizer(BpeData data, std::string_view subject) {
  return std::make_shared<BpeTokenizer>(std::move(data), subject);
}

std::vector<std::pair<std::string, std::string>> merges_of_scores(const BpeData& data) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < data.tokens.size(); ++id)
    if (!data.tokens[id].empty()) ids.emplace(data.tokens[id], id);
  struct Pair {
    size_t id, left, characters, left_characters;
  };
  std::vector<Pair> pairs;
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    const std::string_view token = data.tokens[id];
    const auto is_start = [&](size_t at) { return (static_cast<unsigned char>(token[at]) & 0xC0) != 0x80; };
    size_t characters = 0, left = 0;
    for (size_t at = 0; at < token.size(); ++at) characters += is_start(at);
    for (size_t at = 1; at < token.size(); ++at) {
      left += is_start(at);  // of the characters, those before the one that starts at `at`
      if (is_start(at) && ids.contains(token.substr(0, at)) && ids.contains(token.substr(at))) pairs.push_back({id, at, characters, left});
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(), [&](const Pair& a, const Pair& b) {
    if (data.scores[a.id] != data.scores[b.id]) return data.scores[a.id] > data.scores[b.id];
    return a.left_characters != b.left_characters ? a.left_characters > b.left_characters : a.characters > b.characters;
  });
  std::vector<std::pair<std::string, std::string>> merges;
  merges.reserve(pairs.size());
  for (const Pair& pair : pairs) merges.emplace_back(data.tokens[pair.id].substr(0, pair.left), data.tokens[pair.id].substr(pair.left));
  return merges;
}

}  // namespace teeny
