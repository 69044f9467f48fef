#include "teeny/core/file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "teeny/core/error.h"
#include "teeny_version.h"

namespace teeny {
namespace fs = std::filesystem;
namespace {

std::string parent_of(const std::string& path) {
  const auto parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

void sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

[[noreturn]] void throw_write_error(const std::string& path, uint64_t wanted) {
  const int code = errno;
  struct statvfs stats {};
  uint64_t available = 0;
  if (::statvfs(parent_of(path).c_str(), &stats) == 0) available = uint64_t(stats.f_bavail) * stats.f_frsize;
  throw device_error("write", path, "writing {} failed: {} ({} free); free some space or choose another --out", human_bytes(wanted),
                     std::strerror(code), human_bytes(available));
}

void write_all(int fd, const std::string& path, uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), off_t(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw_write_error(path, bytes.size());
    offset += uint64_t(n);
    bytes = bytes.subspan(size_t(n));
  }
}

std::string hex(const unsigned char* bytes, size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += fmt::format("{:02x}", bytes[i]);
  return out;
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void update(const void* data, size_t n) { EVP_DigestUpdate(context_.get(), data, n); }
  std::string finish() {
    unsigned char digest[32];
    EVP_DigestFinal_ex(context_.get(), digest, nullptr);
    return hex(digest, sizeof digest);
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

File::File(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // O_NONBLOCK: a FIFO must not hang us
  if (fd_ < 0) throw input_error("read", path, "cannot be opened: {}", std::strerror(errno));
  struct stat info {};
  if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd_);
    fd_ = -1;
    throw input_error("read", path, "is not a regular file");
  }
  size_ = uint64_t(info.st_size);
  mtime_ns_ = int64_t(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec;
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

File::File(File&& other) noexcept { *this = std::move(other); }

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  std::swap(mtime_ns_, other.mtime_ns_);
  return *this;
}

void File::read(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), off_t(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw input_error("read", path_, "reading {} bytes at byte {} failed: {}", out.size(), offset, std::strerror(errno));
    if (n == 0) throw input_error("read", path_, "ends at byte {}, {} more bytes were expected; the file is truncated", offset, out.size());
    offset += uint64_t(n);
    out = out.subspan(size_t(n));
  }
}

OutputFile::OutputFile(const std::string& path) : path_(path), part_(path + ".part") {
  fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) throw device_error("write", part_, "cannot be created: {}; choose another output path", std::strerror(errno));
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!committed_) ::unlink(part_.c_str());
}

void OutputFile::write(std::span<const std::byte> bytes) {
  write_all(fd_, part_, position_, bytes);
  position_ += bytes.size();
}

void OutputFile::write_at(uint64_t offset, std::span<const std::byte> bytes) { write_all(fd_, part_, offset, bytes); }

void OutputFile::commit() {
  if (::fsync(fd_) != 0) throw_write_error(part_, position_);
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0) throw_write_error(part_, position_);
  if (::rename(part_.c_str(), path_.c_str()) != 0) throw_write_error(path_, position_);
  committed_ = true;
  sync_directory(parent_of(path_));
}

OutputDirectory::OutputDirectory(const std::string& path, bool replace) : path_(path), replace_(replace) {
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  part_ = path_ + ".part";
  std::error_code error;
  fs::remove_all(part_, error);
  if (!fs::create_directories(part_, error) || error)
    throw device_error("write", part_, "cannot be created: {}; choose another --out", error.message());
}

OutputDirectory::~OutputDirectory() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(part_, ignored);
}

void OutputDirectory::commit() {
  const std::string old = path_ + ".old";
  std::error_code error;
  const bool exists = path_exists(path_);
  if (exists && !replace_) throw usage_error("write", path_, "exists already; pass --force to replace it");
  if (exists) {
    fs::remove_all(old, error);
    if (::rename(path_.c_str(), old.c_str()) != 0) throw_write_error(path_, 0);
  }
  if (::rename(part_.c_str(), path_.c_str()) != 0) {
    const int code = errno;
    if (exists) ::rename(old.c_str(), path_.c_str());
    errno = code;
    throw_write_error(path_, 0);
  }
  committed_ = true;
  sync_directory(parent_of(path_));
  if (exists) fs::remove_all(old, error);
}

std::string read_file(const std::string& path, uint64_t max_bytes) {
  const File file(path);
  if (file.size() > max_bytes) throw input_error("read", path, "has {} bytes, at most {} are accepted here", file.size(), max_bytes);
  std::string text(file.size(), '\0');
  file.read(0, std::as_writable_bytes(std::span(text.data(), text.size())));
  return text;
}

void write_file(const std::string& path, std::string_view text) {
  OutputFile out(path);
  out.write(text);
  out.commit();
}

bool path_exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}
bool is_directory(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}
std::string path_join(std::string_view directory, std::string_view name) { return (fs::path(directory) / name).string(); }

void require_free_space(const std::string& path, uint64_t bytes) {
  struct statvfs stats {};
  std::string place = parent_of(path);
  while (!path_exists(place) && place != "/" && place != ".") place = parent_of(place);
  if (::statvfs(place.c_str(), &stats) != 0) return;
  const uint64_t available = uint64_t(stats.f_bavail) * stats.f_frsize;
  if (available < bytes)
    throw device_error("write", path, "needs {}, {} free at {}; free some space or choose another --out", human_bytes(bytes),
                       human_bytes(available), place);
}

std::string human_bytes(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  const char* units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = double(bytes) / 1000;
  size_t unit = 0;
  while (value >= 999.95 && unit + 1 < std::size(units)) value /= 1000, ++unit;
  return fmt::format("{:.1f} {}", value, units[unit]);
}

std::string sha256_hex(std::string_view data) {
  Sha256 hash;
  hash.update(data.data(), data.size());
  return hash.finish();
}

std::string sha256_file(const std::string& path) {
  const File file(path);
  Sha256 hash;
  std::vector<std::byte> buffer(1 << 20);
  for (uint64_t at = 0; at < file.size();) {
    const auto n = std::min<uint64_t>(buffer.size(), file.size() - at);
    file.read(at, std::span(buffer).first(n));
    hash.update(buffer.data(), n);
    at += n;
  }
  return hash.finish();
}

std::string model_folder_name(const std::string& folder) {
  const fs::path place(folder), repo = place.parent_path().parent_path().filename();
  const std::string name = repo.string();
  const size_t split = name.rfind("models--", 0) == 0 ? name.find("--", 8) : name.npos;
  if (place.parent_path().filename() == "snapshots" && split != name.npos) return name.substr(split + 2);
  return place.filename().string();
}

std::string config_directory() {
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  const fs::path installed = executable.parent_path().parent_path() / "share/teeny";
  if (!error && fs::exists(installed / "models")) return installed.string();
  // A build tree may have been moved together with its sources: <source>/build*/bin/teeny.
  for (auto place = executable.parent_path(); place.has_relative_path(); place = place.parent_path())
    if (fs::exists(place / "configs/models")) return (place / "configs").string();
  return TEENY_SOURCE_CONFIGS;
}

}  // namespace teeny
