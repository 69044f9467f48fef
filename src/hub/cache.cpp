#include "hub/cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

#include "hub/names.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny::hub {
namespace fs = std::filesystem;
namespace {

std::string folder_name(const HubId& id) {
  std::string name = id.dataset ? "datasets--" : "models--";
  for (char c : id.repo) name += c == '/' ? "--" : std::string(1, c);
  return name;
}

// From the folder of a snapshot's file to blobs/.
std::string link_target(const std::string& path, const std::string& content) {
  std::string up = "../../";
  for (char c : path)
    if (c == '/') up += "../";
  return up + "blobs/" + content;
}

[[noreturn]] void throw_not_written(const std::string& path, int code) {
  throw device_error("hub", path, "cannot be made: {}; set HF_HOME to a folder that can be written{}", std::strerror(code),
                     code == EPERM || code == ENOTSUP ? ", on a file system with symbolic links" : "");
}

}  // namespace

void make_directories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error && !fs::is_directory(path)) throw_not_written(path, error.value());
}

void sync_folder_of(const std::string& path) {
  const int fd = ::open(fs::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

RepoCache::RepoCache(const std::string& cache, const HubId& id)
    : root_(path_join(cache, folder_name(id))), locks_(path_join(path_join(cache, ".locks"), folder_name(id))) {}

std::string RepoCache::blob(const std::string& content) const { return root_ + "/blobs/" + content; }
std::string RepoCache::snapshot(const std::string& commit) const { return root_ + "/snapshots/" + commit; }
std::string RepoCache::pointer(const std::string& commit, const std::string& path) const { return snapshot(commit) + "/" + path; }
std::string RepoCache::lock_path(const std::string& content) const { return locks_ + "/" + content + ".lock"; }

std::optional<std::string> RepoCache::read_ref(const std::string& revision) const {
  if (is_commit(revision)) return revision;
  const std::string path = root_ + "/refs/" + revision;
  if (!path_exists(path) || is_directory(path)) return std::nullopt;
  std::string commit = read_file(path, 200);
  while (!commit.empty() && (commit.back() == '\n' || commit.back() == ' ')) commit.pop_back();
  if (!is_commit(commit)) throw input_error("hub", path, "does not hold a commit's hash; remove it");
  return commit;
}

void RepoCache::write_ref(const std::string& revision, const std::string& commit) const {
  if (revision == commit || is_commit(revision)) return;
  const std::string path = root_ + "/refs/" + revision;
  make_directories(fs::path(path).parent_path().string());
  if (path_exists(path) && !is_directory(path) && read_file(path, 4096) == commit) return;
  // Of its own name: two processes may write the same reference.
  const std::string part = fmt::format("{}.{}", path, ::getpid());
  write_file(part, commit);
  if (::rename(part.c_str(), path.c_str()) != 0) {
    const int code = errno;
    ::unlink(part.c_str());
    throw_not_written(path, code);
  }
}

bool RepoCache::has_blob(const std::string& content, uint64_t bytes) const {
  struct stat info {};
  const std::string path = blob(content);
  if (::lstat(path.c_str(), &info) != 0) return false;
  if (!S_ISREG(info.st_mode)) throw input_error("hub", path, "is a link or a folder where a file is due; remove it");
  return uint64_t(info.st_size) == bytes;
}

bool RepoCache::is_linked(const std::string& commit, const std::string& path, const std::string& content) const {
  std::error_code error;
  const fs::path target = fs::read_symlink(pointer(commit, path), error);
  return !error && target == link_target(path, content);
}

void RepoCache::link(const std::string& commit, const std::string& path, const std::string& content) const {
  if (!is_contained(path)) throw input_error("hub", path, "is not a name that stays in its folder");
  std::string folder = snapshot(commit);
  make_directories(folder);
  for (size_t start = 0, slash; (slash = path.find('/', start)) != path.npos; start = slash + 1) {
    folder = snapshot(commit) + "/" + path.substr(0, slash);
    if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) throw_not_written(folder, errno);
    struct stat info {};
    if (::lstat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) throw input_error("hub", folder, "is a link or a file where a folder is due; remove it");
  }
  if (is_linked(commit, path, content)) return;
  const std::string place = pointer(commit, path), fresh = fmt::format("{}.{}.link", place, ::getpid());
  ::unlink(fresh.c_str());
  if (::symlink(link_target(path, content).c_str(), fresh.c_str()) != 0) throw_not_written(fresh, errno);
  if (::rename(fresh.c_str(), place.c_str()) != 0) {
    const int code = errno;
    ::unlink(fresh.c_str());
    throw_not_written(place, code);
  }
  sync_folder_of(place);
}

std::vector<std::string> RepoCache::files(const std::string& commit) const {
  std::vector<std::string> found;
  std::error_code error;
  const fs::path top = snapshot(commit);
  for (fs::recursive_directory_iterator it(top, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    const std::string path = it->path().lexically_relative(top).string();
    if (fs::is_regular_file(it->path(), ignored) && is_contained(path)) found.push_back(path);
  }
  std::sort(found.begin(), found.end());
  return found;
}

RepoLock::RepoLock(const std::string& path, const Context& context) {
  make_directories(fs::path(path).parent_path().string());
  for (bool said = false;;) {
    if (fd_ < 0) fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0664);
    if (fd_ < 0) throw_not_written(path, errno);
    if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) {
      // Another program may have removed the file meanwhile: a lock on a file without a name keeps nobody out.
      struct stat held {}, named {};
      if (::fstat(fd_, &held) == 0 && ::stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino && held.st_dev == named.st_dev) return;
      ::close(std::exchange(fd_, -1));
      continue;
    }
    if (errno != EWOULDBLOCK && errno != EINTR) return;  // a file system without locks: content ids are checked anyway
    if (!said) context.info("waiting for another process that downloads the same file");
    said = true;
    try {
      context.check_interrupted();
    } catch (...) {
      ::close(fd_);
      throw;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

RepoLock::~RepoLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace teeny::hub
