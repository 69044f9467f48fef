#include "text/decode.h"

#include <algorithm>
#include <utility>

#include "text/byte_level.h"
#include "text/normalize.h"
#include "text/utf8.h"

namespace teeny {
namespace {

std::string replaced(std::string_view text, std::string_view to) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t mark = std::min(text.find(kSpaceMarker, at), text.size());
    out.append(text, at, mark - at);
    if (mark < text.size()) out += to;
    at = mark + kSpaceMarker.size();
  }
  return out;
}

// <0xHH>, either case: the byte, else -1.
int byte_of(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

}  // namespace

TokenTexts::TokenTexts(const BpeData& data) : kind_(data.decoder), strip_space_(data.strip_space) {
  const size_t n = data.tokens.size();
  std::vector<const AddedToken*> added(n, nullptr);
  for (const AddedToken& token : data.added) added[static_cast<size_t>(token.id)] = &token;
  special_.resize(n), is_byte_.resize(n);
  if (kind_ == TokenDecoder::Metaspace && strip_space_) first_at_.resize(n, -1);
  std::string storage, marked, bytes;
  starts_.push_back(0);
  for (size_t id = 0; id < n; ++id) {
    special_[id] = added[id] && added[id]->special;
    std::string_view token = data.tokens[id];
    if (added[id] && added[id]->normalized) token = normalize(data, token, storage, marked);
    if (kind_ == TokenDecoder::ByteLevel) {
      byte_level_decode(token, bytes);
    } else {
      bytes = replaced(token, " ");
      if (!first_at_.empty() && bytes.size() != token.size()) {
        first_at_[id] = static_cast<int32_t>(first_.size());
        first_.push_back(replaced(token, ""));
      }
      if (const int byte = kind_ == TokenDecoder::ByteFallback ? byte_of(bytes) : -1; byte >= 0) {
        is_byte_[id] = true;
        bytes.assign(1, static_cast<char>(byte));
      }
    }
    bytes_ += bytes;
    starts_.push_back(bytes_.size());
  }
}

// Bytes until they are characters; a sequence that the next token may complete waits.
class ByteLevelStream : public DecodeStream {
 public:
  ByteLevelStream(const TokenTexts& texts, bool skip_special) : texts_(texts), skip_special_(skip_special) {}
  std::string push(int32_t id) override {
    if (!texts_.in_range(id) || (skip_special_ && texts_.is_special(id))) return {};
    waiting_ += texts_.bytes_of(id);
    const size_t certain = waiting_.size() - unfinished_utf8(waiting_);
    std::string repaired, out(valid_utf8(std::string_view(waiting_).substr(0, certain), repaired));
    waiting_.erase(0, certain);
    return out;
  }
  std::string finish() override {
    std::string repaired, out(valid_utf8(waiting_, repaired));
    waiting_.clear();
    return out;
  }

 private:
  const TokenTexts& texts_;
  const bool skip_special_;
  std::string waiting_;
};

// Tokens as they are, joined; a run of <0xHH> is a whole that waits for its end: when it is not UTF-8, each of its bytes
// becomes U+FFFD.
class PieceStream : public DecodeStream {
 public:
  PieceStream(const TokenTexts& texts, bool skip_special, bool at_start) : texts_(texts), skip_special_(skip_special), first_(at_start), at_start_(at_start) {}
  std::string push(int32_t id) override {
    if (!texts_.in_range(id) || (skip_special_ && texts_.is_special(id))) return {};
    const auto i = static_cast<size_t>(id);
    std::string out;
    if (texts_.is_byte_[i]) {
      run_ += texts_.bytes_of(id);
      return out;
    }
    end_run(out);
    const bool first = std::exchange(first_, false) && !texts_.first_at_.empty() && texts_.first_at_[i] >= 0;
    out += first ? std::string_view(texts_.first_[static_cast<size_t>(texts_.first_at_[i])]) : texts_.bytes_of(id);
    return stripped(std::move(out));
  }
  std::string finish() override {
    std::string out;
    end_run(out);
    out = stripped(std::move(out));
    first_ = at_start_ = true;
    return out;
  }

 private:
  void end_run(std::string& out) {
    if (run_.empty()) return;
    if (valid_utf8_prefix(run_) == run_.size()) {
      out += run_;
    } else {
      for (size_t i = 0; i < run_.size(); ++i) out += "\xEF\xBF\xBD";
    }
    run_.clear();
    first_ = false;
  }
  std::string stripped(std::string out) {
    if (out.empty()) return out;
    if (std::exchange(at_start_, false) && texts_.kind_ == TokenDecoder::ByteFallback && texts_.strip_space_ && out[0] == ' ') out.erase(0, 1);
    return out;
  }

  const TokenTexts& texts_;
  const bool skip_special_;
  bool first_, at_start_;
  std::string run_;
};

std::unique_ptr<DecodeStream> TokenTexts::stream(bool skip_special, bool at_start) const {
  if (kind_ == TokenDecoder::ByteLevel) return std::make_unique<ByteLevelStream>(*this, skip_special);
  return std::make_unique<PieceStream>(*this, skip_special, at_start);
}

}  // namespace teeny
