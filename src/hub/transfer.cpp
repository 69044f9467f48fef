#include "hub/transfer.h"

#include <algorithm>
#include <charconv>

#include "hub/retry.h"
#include "hub/run_all.h"

namespace teeny::hub {
namespace {

// Blocks a request: few enough requests for a rate limit, small enough to share the work among connections.
constexpr size_t kBlocksPerRequest = 16;

struct ContentRange {
  uint64_t first = 0, last = 0, total = 0;
};

bool take(std::string_view& text, std::string_view literal) {
  if (text.rfind(literal, 0) != 0) return false;
  text.remove_prefix(literal.size());
  return true;
}

bool take(std::string_view& text, uint64_t& value) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc()) return false;
  text.remove_prefix(size_t(end - text.data()));
  return true;
}

bool parse_content_range(std::string_view text, ContentRange& range) {
  return take(text, "bytes ") && take(text, range.first) && take(text, "-") && take(text, range.last) && take(text, "/") && take(text, range.total) && text.empty();
}

// Writes one answer's body where it belongs. `alone`: no other request works on the file, so a whole body may replace it.
class BodySink : public Sink {
 public:
  BodySink(Partial& partial, Transfer& transfer, size_t block, uint64_t end, bool alone)
      : partial_(partial), transfer_(transfer), block_(block), at_(partial.block_start(block)), end_(end), alone_(alone) {}

  void begin(const Hop& hop) override {
    hop.status == 206 ? begin_part(hop) : begin_whole(hop);
    began_ = true;
  }

  void data(std::span<const std::byte> bytes) override {
    if (bytes.size() > end_ - at_) throw Transient{fmt::format("{} sends more than the {} bytes announced", transfer_.name, partial_.bytes())};
    partial_.write(at_, bytes);
    at_ += bytes.size();
    transfer_.meter.add(bytes.size());
    for (; at_ > partial_.block_start(block_) && at_ >= partial_.block_end(block_); ++block_) {
      partial_.mark(block_);
      if (block_ + 1 == partial_.blocks()) break;
    }
  }

  void require_complete() const {
    if (!began_ || at_ != end_) throw Transient{fmt::format("{} ended after {} of {} bytes", transfer_.name, at_, end_)};
  }

 private:
  void begin_part(const Hop& hop) {
    const std::string* text = hop.find("content-range");
    ContentRange range;
    if (!text || !parse_content_range(*text, range) || range.first != at_ || range.last + 1 > end_ || range.last < range.first || range.total != partial_.bytes())
      throw Transient{fmt::format("{}: asked for bytes {}-{} of {}, the answer is for '{}'", transfer_.name, at_, end_ - 1, partial_.bytes(), text ? text->substr(0, 80) : "")};
    const std::string* etag = hop.find("etag");
    const std::string known = partial_.etag();
    if (transfer_.trust_etags && !known.empty() && etag && *etag != known) throw ContentChanged{fmt::format("its ETag was {}, now it is {}", known, etag->substr(0, 80))};
    if (known.empty() && alone_ && etag && partial_.bytes_done() == 0) partial_.set_etag(*etag);
  }

  void begin_whole(const Hop& hop) {
    const std::string* length = hop.find("content-length");
    if (length && *length != std::to_string(partial_.bytes()))
      throw Transient{fmt::format("{}: {} bytes were announced, the answer has {}", transfer_.name, partial_.bytes(), length->substr(0, 30))};
    if (at_ != 0 || !alone_) throw ContentChanged{"the server sends all of it where a part was asked for"};
    if (partial_.bytes_done() > 0) partial_.reset();
    if (const std::string* etag = hop.find("etag")) partial_.set_etag(*etag);
    end_ = partial_.bytes();
  }

  Partial& partial_;
  Transfer& transfer_;
  size_t block_;
  uint64_t at_, end_;
  bool alone_, began_ = false;
};

std::string address(Transfer& transfer) {
  std::lock_guard lock(transfer.mutex);
  return transfer.location.empty() ? transfer.url : transfer.location;
}

void set_location(Transfer& transfer, const std::string& location) {
  std::lock_guard lock(transfer.mutex);
  transfer.location = location;
}

// One request, from the first missing block of the claim on.
void request_blocks(HttpClient& client, Partial& partial, Transfer& transfer, size_t first, size_t last, bool alone) {
  const uint64_t start = partial.block_start(first), end = partial.block_end(last);
  Request request;
  request.url = address(transfer);
  if (start != 0 || end != partial.bytes()) {
    request.range = {start, end - 1};
    if (transfer.trust_etags) request.if_range = partial.etag();
  }
  BodySink sink(partial, transfer, first, end, alone);
  request.sink = &sink;
  const bool direct = request.url != transfer.url;
  try {
    const Answer answer = client.send(request);
    // A signed address expires: ask the hub for a new one.
    if (direct && answer.status != 200 && answer.status != 206) throw Transient{fmt::format("{} answers {}", origin_of(answer.url), answer.status), answer.status < 500 ? 0.0 : -1.0};
    if (answer.status == 416) throw ContentChanged{"the server has no such range of it"};
    require_success(answer, transfer.name, transfer.settings);
    sink.require_complete();
    if (!answer.before.empty()) set_location(transfer, answer.url);
  } catch (const Transient&) {
    if (direct) set_location(transfer, "");
    throw;
  }
}

void fill_claim(HttpClient& client, Partial& partial, Transfer& transfer, std::pair<size_t, size_t> claim, bool alone, const std::atomic<bool>& stop) {
  const size_t last = claim.first + claim.second - 1;
  size_t first = claim.first, before = first;
  const auto skip = [&] {
    while (first <= last && partial.has(first)) ++first;
  };
  with_retries(transfer.name, transfer.settings, transfer.context, &stop, [&] {
    skip();
    before = first;
    if (first <= last) request_blocks(client, partial, transfer, first, last, alone);
  }, [&] {
    skip();
    return first > before;
  });
}

}  // namespace

Meter::Meter(const Context& context, const std::string& what, uint64_t bytes) : context_(context), unit_(bytes >= 20'000'000 ? 1'000'000 : 1000) {
  context_.progress_start(fmt::format("{}, {}", what, unit_ == 1000 ? "kB" : "MB"), std::max<uint64_t>(1, bytes / unit_));
}

void Meter::add(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  rest_ += bytes;
  if (rest_ >= unit_) context_.progress_advance(rest_ / unit_);
  rest_ %= unit_;
}

void fill(Partial& partial, Transfer& transfer, const std::atomic<bool>& stop) {
  HttpClient client(transfer.settings, transfer.context, &stop);
  // The first request goes alone: it shows whether ranges work and what the ETag is. A file of one request goes whole.
  const bool small = partial.blocks() <= kBlocksPerRequest;
  while (auto claim = partial.claim(small ? kBlocksPerRequest : 1)) {
    fill_claim(client, partial, transfer, *claim, true, stop);
    if (!small) break;
  }
  run_all(small ? 0 : size_t(transfer.settings.connections), transfer.settings.connections, [&](size_t, const std::atomic<bool>& failed) {
    HttpClient mine(transfer.settings, transfer.context, &failed);
    while (auto claim = partial.claim(kBlocksPerRequest)) fill_claim(mine, partial, transfer, *claim, false, failed);
  });
}

}  // namespace teeny::hub
