#include "hub/partial.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "hub/cache.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny::hub {
namespace {

// The state: one header of a fixed size, then one byte per block, '1' when it is complete.
constexpr size_t kStateHeader = 512, kMaxEtag = 300;

std::string state_header(uint64_t bytes, const std::string& etag) {
  std::string text = fmt::format("teeny-incomplete 1\nbytes {}\nblock {}\netag {}\n", bytes, kBlockBytes, etag);
  text.resize(kStateHeader, '\n');
  return text;
}

int open_or_throw(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
  struct stat info {};
  if (fd < 0 && errno == ELOOP) throw input_error("hub", path, "is a link where a file is due; remove it");
  if (fd < 0) throw device_error("hub", path, "cannot be written: {}; set HF_HOME to a folder that can", std::strerror(errno));
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) return fd;
  ::close(fd);
  throw input_error("hub", path, "is not a regular file; remove it");
}

void write_at(int fd, const std::string& path, uint64_t offset, const char* data, size_t n) {
  while (n > 0) {
    const ssize_t written = ::pwrite(fd, data, n, off_t(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw device_error("hub", path, "writing failed: {}; free some space, or set HF_HOME to another disk; what is there is kept for the next try", std::strerror(errno));
    data += written, offset += uint64_t(written), n -= size_t(written);
  }
}

}  // namespace

Partial::Partial(const std::string& blob, uint64_t bytes)
    : blob_(blob), path_(blob + ".teeny-incomplete"), state_path_(path_ + ".state"), bytes_(bytes), done_((bytes + kBlockBytes - 1) / kBlockBytes, 0), claimed_(done_.size(), 0) {
  fd_ = open_or_throw(path_);
  try {
    state_ = open_or_throw(state_path_);
    std::string text(kStateHeader + done_.size() + 1, '\0');
    const ssize_t have = ::pread(state_, text.data(), text.size(), 0);
    struct stat info {};
    const size_t at = text.find("etag "), end = text.find('\n', at == text.npos ? 0 : at);
    const std::string etag = at == text.npos || end == text.npos ? "" : text.substr(at + 5, end - at - 5);
    const bool fits = have == ssize_t(kStateHeader + done_.size()) && text.compare(0, kStateHeader, state_header(bytes, etag)) == 0 && ::fstat(fd_, &info) == 0 &&
                      uint64_t(info.st_size) == bytes;
    if (!fits) reset();
    if (fits) etag_ = etag;
    for (size_t i = 0; fits && i < done_.size(); ++i) done_[i] = text[kStateHeader + i] == '1';
    resumed_ = bytes_done() > 0;
  } catch (...) {
    ::close(fd_);
    if (state_ >= 0) ::close(state_);
    throw;
  }
}

Partial::~Partial() {
  if (fd_ >= 0) ::close(fd_);
  if (state_ >= 0) ::close(state_);
}

uint64_t Partial::bytes_done() const {
  std::lock_guard lock(mutex_);
  uint64_t sum = 0;
  for (size_t i = 0; i < done_.size(); ++i)
    if (done_[i]) sum += block_end(i) - block_start(i);
  return sum;
}

std::string Partial::etag() const {
  std::lock_guard lock(mutex_);
  return etag_;
}

void Partial::set_etag(const std::string& etag) {
  const bool strong = etag.size() > 2 && etag.front() == '"' && etag.back() == '"' && etag.size() <= kMaxEtag;
  const bool plain = std::all_of(etag.begin(), etag.end(), [](char c) { return c > ' ' && c < 0x7f; });
  std::lock_guard lock(mutex_);
  etag_ = strong && plain ? etag : "";
  const std::string header = state_header(bytes_, etag_);
  write_at(state_, state_path_, 0, header.data(), header.size());
}

void Partial::reset() {
  std::lock_guard lock(mutex_);
  std::fill(done_.begin(), done_.end(), 0);
  etag_.clear();
  resumed_ = false;
  // State first: were it the other way, a crash between the two could leave blocks marked that are gone.
  if (::ftruncate(state_, 0) != 0 || ::ftruncate(fd_, 0) != 0 || ::ftruncate(fd_, off_t(bytes_)) != 0)
    throw device_error("hub", path_, "cannot be made {} long: {}; free some space, or set HF_HOME to another disk", human_bytes(bytes_), std::strerror(errno));
  write_state();
}

void Partial::write_state() {
  std::string text = state_header(bytes_, etag_);
  for (char done : done_) text += done ? '1' : '0';
  write_at(state_, state_path_, 0, text.data(), text.size());
}

std::optional<std::pair<size_t, size_t>> Partial::claim(size_t most) {
  std::lock_guard lock(mutex_);
  const auto open = [&](size_t i) { return i < done_.size() && !done_[i] && !claimed_[i]; };
  for (size_t first = 0; first < done_.size(); ++first) {
    if (!open(first)) continue;
    size_t count = 0;
    while (count < most && open(first + count)) claimed_[first + count++] = 1;
    return std::make_pair(first, count);
  }
  return std::nullopt;
}

void Partial::release(size_t first, size_t count) {
  std::lock_guard lock(mutex_);
  std::fill_n(claimed_.begin() + std::ptrdiff_t(first), count, 0);
}

bool Partial::has(size_t block) const {
  std::lock_guard lock(mutex_);
  return done_[block];
}

void Partial::write(uint64_t offset, std::span<const std::byte> bytes) { write_at(fd_, path_, offset, reinterpret_cast<const char*>(bytes.data()), bytes.size()); }

void Partial::mark(size_t block) {
  std::lock_guard lock(mutex_);
  done_[block] = 1;
  write_at(state_, state_path_, kStateHeader + block, "1", 1);
}

std::string Partial::content_id(size_t digits, const Context& context) const {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> hash(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(hash.get(), digits == 64 ? EVP_sha256() : EVP_sha1(), nullptr);
  if (digits == 40) {  // git hashes its object's header too
    const std::string header = fmt::format("blob {}", bytes_);
    EVP_DigestUpdate(hash.get(), header.c_str(), header.size() + 1);
  }
  std::vector<std::byte> buffer(1 << 20);
  for (uint64_t at = 0; at < bytes_;) {
    context.check_interrupted();
    const ssize_t n = ::pread(fd_, buffer.data(), buffer.size(), off_t(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw device_error("hub", path_, "cannot be read back: {}", n < 0 ? std::strerror(errno) : "it became shorter");
    EVP_DigestUpdate(hash.get(), buffer.data(), size_t(n));
    at += uint64_t(n);
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_DigestFinal_ex(hash.get(), digest, &length);
  std::string text;
  for (unsigned i = 0; i < length; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

bool Partial::finish(const std::string& content, const Context& context) {
  if (content_id(content.size(), context) != content) return discard(), false;
  if (::fsync(fd_) != 0 || ::rename(path_.c_str(), blob_.c_str()) != 0)
    throw device_error("hub", blob_, "cannot be given its name: {}; check the disk", std::strerror(errno));
  sync_folder_of(blob_);
  ::unlink(state_path_.c_str());
  return true;
}

void Partial::discard() {
  ::unlink(state_path_.c_str());
  ::unlink(path_.c_str());
}

}  // namespace teeny::hub
