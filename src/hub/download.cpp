#include "hub/download.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "hub/names.h"
#include "hub/run_all.h"
#include "hub/transfer.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny::hub {
namespace {

constexpr int kMaxRestarts = 3;

struct Job {
  const HubId& id;
  const std::string& commit;
  const RepoCache& cache;
  const HubSettings& settings;
  const Context& context;
  Meter& meter;
};

// What an unfinished download already takes on the disk.
uint64_t allocated(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? uint64_t(info.st_blocks) * 512 : 0;
}

void require_space(const std::vector<RepoFile>& files, const RepoCache& cache) {
  uint64_t needed = 0;
  for (const auto& file : files) {
    const uint64_t have = allocated(cache.blob(file.content) + ".teeny-incomplete");
    needed += *file.bytes > have ? *file.bytes - have : 0;
  }
  struct statvfs stats {};
  if (::statvfs(cache.root().c_str(), &stats) != 0) return;
  const uint64_t available = uint64_t(stats.f_bavail) * stats.f_frsize;
  if (available < needed)
    throw device_error("hub", cache.root(), "needs {}, {} free there; free some space, or set HF_HOME to another disk", human_bytes(needed), human_bytes(available));
}

// True when the blob is there and has the announced content id.
bool fetch_once(const RepoFile& file, const std::string& blob, const Job& job, Transfer& transfer, const std::atomic<bool>& stop) {
  Partial partial(blob, *file.bytes);
  const bool resumed = partial.resumed();
  job.meter.add(partial.bytes_done());
  try {
    fill(partial, transfer, stop);
  } catch (const ContentChanged&) {
    partial.reset();
    throw;
  }
  if (partial.finish(file.content, job.context)) return true;
  if (!resumed)
    throw input_error("hub", transfer.name, "what was sent is not what was announced (content id {}); it was not kept; try again, and if it stays, ask the repository's owner", file.content);
  return false;
}

void fetch_file(const RepoFile& file, const Job& job, const std::atomic<bool>& stop) {
  const std::string blob = job.cache.blob(file.content);
  const RepoLock lock(job.cache.lock_path(file.content), job.context);
  Transfer transfer{job.settings, job.context, job.meter, repo_address(job.id, job.settings, "resolve/" + job.commit + "/" + url_path(file.path)), job.id.repo + "/" + file.path, true, {}, ""};
  for (int restarts = 0; !job.cache.has_blob(file.content, *file.bytes);) {
    try {
      if (fetch_once(file, blob, job, transfer, stop)) break;
    } catch (const ContentChanged& change) {
      if (++restarts > kMaxRestarts) throw device_error("hub", transfer.name, "cannot be completed: {}; begun anew {} times", change.what, kMaxRestarts);
      job.context.debug(fmt::format("{}: {}; begun anew", transfer.name, change.what));
      // Some content networks name one content differently on each machine; the content id is checked in any case.
      transfer.trust_etags = restarts < 2;
    }
  }
  job.cache.link(job.commit, file.path, file.content);
}

}  // namespace

void download(const std::vector<RepoFile>& files, const std::string& commit, const HubId& id, const RepoCache& cache, const HubSettings& settings, const Context& context) {
  std::vector<RepoFile> small, big;
  uint64_t bytes = 0;
  for (const auto& file : files) {
    if (cache.has_blob(file.content, *file.bytes)) {
      cache.link(commit, file.path, file.content);
      continue;
    }
    (*file.bytes <= 16 * kBlockBytes ? small : big).push_back(file);
    bytes += *file.bytes;
  }
  if (small.empty() && big.empty()) return;
  make_directories(cache.root() + "/blobs");
  std::vector<RepoFile> all = small;
  all.insert(all.end(), big.begin(), big.end());
  require_space(all, cache);
  context.info(fmt::format("downloading {} file{} of {}, {}, into {}", all.size(), all.size() == 1 ? "" : "s", id.repo, human_bytes(bytes), cache.root()));
  Meter meter(context, "download " + id.repo, bytes);
  const Job job{id, commit, cache, settings, context, meter};
  run_all(small.size(), settings.connections, [&](size_t i, const std::atomic<bool>& stop) { fetch_file(small[i], job, stop); });
  const std::atomic<bool> never{false};
  for (const auto& file : big) fetch_file(file, job, never);
}

}  // namespace teeny::hub
