#include "teeny/text/dataset.h"

#include <algorithm>

#include <zlib.h>

#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny {
namespace {

constexpr uint64_t kMaxBytes = 4ull << 30;
constexpr size_t kChunk = 1 << 18;

bool ends_with(std::string_view path, std::string_view end) { return path.size() >= end.size() && path.substr(path.size() - end.size()) == end; }

// Inflates one or several gzip members, as gzip -d does. A few kilobytes can unpack to terabytes, hence the cap.
class GzipReader {
 public:
  explicit GzipReader(const std::string& path) : path_(path), packed_(kChunk) {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw device_error("text", path_, "zlib did not start: {}", stream_.msg ? stream_.msg : "no memory");
  }
  ~GzipReader() { inflateEnd(&stream_); }
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  std::string read() {
    const File file(path_);
    std::string out;
    std::vector<char> unpacked(kChunk);
    bool member_done = false;
    for (uint64_t at = 0; at < file.size();) {
      const size_t n = std::min<uint64_t>(kChunk, file.size() - at);
      file.read(at, std::as_writable_bytes(std::span(packed_.data(), n)));
      at += n;
      stream_.next_in = packed_.data();
      stream_.avail_in = static_cast<uInt>(n);
      while (stream_.avail_in > 0) {
        if (member_done) inflateReset(&stream_), member_done = false;
        member_done = step(unpacked, out);
      }
    }
    if (!member_done) throw input_error("text", path_, "the gzip data ends early, after {} unpacked bytes; the file was cut short", out.size());
    return out;
  }

 private:
  bool step(std::vector<char>& unpacked, std::string& out) {
    while (true) {
      stream_.next_out = reinterpret_cast<Bytef*>(unpacked.data());
      stream_.avail_out = static_cast<uInt>(unpacked.size());
      const int status = inflate(&stream_, Z_NO_FLUSH);
      const size_t got = unpacked.size() - stream_.avail_out;
      if (out.size() + got > kMaxBytes) throw input_error("text", path_, "unpacks to more than {}; split the file", human_bytes(kMaxBytes));
      out.append(unpacked.data(), got);
      if (status == Z_STREAM_END) return true;
      if (status != Z_OK && status != Z_BUF_ERROR)
        throw input_error("text", path_, "is not valid gzip data: {}; was it renamed, or damaged on the way?", stream_.msg ? stream_.msg : zError(status));
      if (stream_.avail_out > 0) return false;  // all input used
    }
  }

  std::string path_;
  std::vector<Bytef> packed_;
  z_stream stream_{};
};

}  // namespace

std::string read_text(const std::string& path) {
  return ends_with(path, ".gz") ? GzipReader(path).read() : read_file(path, kMaxBytes);
}

bool is_jsonl(const std::string& path) { return ends_with(path, ".jsonl") || ends_with(path, ".jsonl.gz"); }

std::vector<Json> read_jsonl(const std::string& path) {
  const std::string text = read_text(path);
  std::vector<Json> lines;
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t stop = std::min(text.find('\n', at), text.size());
    const auto line = std::string_view(text).substr(at, stop - at);
    at = stop + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    lines.push_back(parse_json(line, "text", fmt::format("{} line {}", path, number)));
  }
  return lines;
}

}  // namespace teeny
