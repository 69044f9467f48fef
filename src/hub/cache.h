// One repository's folder in the cache, in huggingface_hub's layout:
//   models--org--name/refs/<revision>                        the commit's hash
//   models--org--name/blobs/<content id>                     sha256 (LFS) or git's blob id
//   models--org--name/snapshots/<commit>/<path>              relative symbolic link to the blob
//   .locks/models--org--name/<content id>.lock               flock while a blob is being made
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "teeny/core/context.h"
#include "teeny/hub/hub.h"

namespace teeny::hub {

class RepoCache {
 public:
  RepoCache(const std::string& cache, const HubId& id);
  const std::string& root() const { return root_; }
  std::string blob(const std::string& content) const;
  std::string snapshot(const std::string& commit) const;
  std::string pointer(const std::string& commit, const std::string& path) const;  // path is contained (names.h)
  std::string lock_path(const std::string& content) const;

  std::optional<std::string> read_ref(const std::string& revision) const;
  void write_ref(const std::string& revision, const std::string& commit) const;  // nothing when they are the same
  // A regular file of that many bytes. Input error when something else stands there (a link, a folder).
  bool has_blob(const std::string& content, uint64_t bytes) const;
  bool is_linked(const std::string& commit, const std::string& path, const std::string& content) const;
  // Puts the link in place, atomically. Folders on the way must be real ones: a link among them is an Input error.
  void link(const std::string& commit, const std::string& path, const std::string& content) const;
  std::vector<std::string> files(const std::string& commit) const;  // paths whose blob exists, sorted

 private:
  std::string root_, locks_;
};

// Held while a blob is made. The same flock that huggingface_hub takes; waits, and says so once.
class RepoLock {
 public:
  RepoLock(const std::string& path, const Context& context);
  ~RepoLock();
  RepoLock(const RepoLock&) = delete;
  RepoLock& operator=(const RepoLock&) = delete;

 private:
  int fd_ = -1;
};

void make_directories(const std::string& path);  // Device error
void sync_folder_of(const std::string& path);

}  // namespace teeny::hub
