// From an id to a path: listing, choice of files, download; or the cache alone.
#include <algorithm>

#include "hub/cache.h"
#include "hub/download.h"
#include "hub/names.h"
#include "hub/repo.h"
#include "hub/retry.h"
#include "hub/select.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/hub/hub.h"

namespace teeny {
namespace {

using hub::Listing;
using hub::RepoCache;
using hub::RepoFile;
using hub::Selection;
using Paths = std::vector<std::string>;

constexpr uint64_t kMaxIndexBytes = 100 << 20;

std::string place_of(const Selection& selection, const RepoCache& cache, const std::string& commit) {
  return selection.main.empty() ? cache.snapshot(commit) : cache.pointer(commit, selection.main);
}

// What the cache holds of the model at a commit; an Input error when it is not all there.
std::string find_model(const RepoCache& cache, const HubId& id, const std::string& commit, bool config_only) {
  const Paths paths = cache.files(commit);
  if (config_only && id.file.empty() && std::binary_search(paths.begin(), paths.end(), "config.json")) return cache.snapshot(commit);
  Selection selection = hub::select_model_files(paths, id);
  if (!selection.index.empty()) hub::shards_of(read_file(cache.pointer(commit, selection.index), kMaxIndexBytes), paths, id);
  return place_of(selection, cache, commit);
}

std::string find_file(const RepoCache& cache, const HubId& id, const std::string& commit) {
  const Paths paths = cache.files(commit);
  if (!std::binary_search(paths.begin(), paths.end(), id.file)) throw input_error("hub", id.repo, "the cache has no {}", id.file);
  return cache.pointer(commit, id.file);
}

template <class Find>
std::string find_offline(const RepoCache& cache, const HubId& id, const std::string& why, Find&& find) {
  const auto commit = cache.read_ref(id.revision);
  if (!commit || cache.files(*commit).empty()) throw input_error("hub", id.repo, "revision {} is not in the cache {}, and {}", id.revision, cache.root(), why);
  try {
    return find(cache, id, *commit);
  } catch (const Error& error) {
    throw input_error("hub", id.repo, "is not complete in the cache, and {}; {}", why, error.what());
  }
}

// Size and content id of what the snapshot does not hold yet; then the download.
void bring(const Paths& wanted, const Listing& listing, const HubId& id, const RepoCache& cache, const HubSettings& settings, Context& context) {
  hub::refuse_same_but_for_case(wanted, id);
  std::vector<RepoFile> missing;
  for (const auto& path : wanted) {
    const RepoFile* file = listing.find(path);
    TEENY_ASSERT(file);
    const bool there = !file->content.empty() && file->bytes && cache.is_linked(listing.commit, path, file->content) && cache.has_blob(file->content, *file->bytes);
    if (!there) missing.push_back(*file);
  }
  if (missing.empty()) return;
  missing = hub::resolve_files(std::move(missing), listing.commit, id, settings, context);
  hub::download(missing, listing.commit, id, cache, settings, context);
}

std::string bring_model(const Listing& listing, const HubId& id, const RepoCache& cache, const HubSettings& settings, Context& context, bool config_only) {
  const Paths paths = listing.paths();
  Selection selection = hub::select_model_files(paths, id);
  if (config_only && selection.main.empty()) {
    std::erase_if(selection.files, [&](const std::string& path) { return path == selection.index || path.ends_with(".safetensors"); });
    selection.index.clear();
  }
  bring(selection.files, listing, id, cache, settings, context);
  if (!selection.index.empty()) bring(hub::shards_of(read_file(cache.pointer(listing.commit, selection.index), kMaxIndexBytes), paths, id), listing, id, cache, settings, context);
  return place_of(selection, cache, listing.commit);
}

std::string bring_file(const Listing& listing, const HubId& id, const RepoCache& cache, const HubSettings& settings, Context& context) {
  if (!listing.find(id.file)) {
    std::string have;
    for (size_t i = 0; i < listing.files.size() && i < 30; ++i) have += (i ? ", " : "") + listing.files[i].path;
    throw input_error("hub", id.repo, "has no file {}; it has: {}", id.file, have);
  }
  bring({id.file}, listing, id, cache, settings, context);
  return cache.pointer(listing.commit, id.file);
}

// A snapshot that an earlier download completed needs no network when the id names its commit.
template <class Find>
std::optional<std::string> find_pinned(const RepoCache& cache, const HubId& id, Find&& find) {
  if (!hub::is_commit(id.revision)) return std::nullopt;
  try {
    if (id.file.empty() && !path_exists(cache.pointer(id.revision, "tokenizer.json"))) return std::nullopt;
    return find(cache, id, id.revision);
  } catch (const Error&) {
    return std::nullopt;
  }
}

template <class Find, class Bring>
std::string fetch(const HubId& id, const HubSettings& settings, Context& context, Find&& find, Bring&& bring_it) {
  const RepoCache cache(settings.cache, id);
  if (settings.offline) return find_offline(cache, id, "HF_HUB_OFFLINE is set", find);
  if (const auto found = find_pinned(cache, id, find)) return *found;
  Listing listing;
  try {
    listing = hub::fetch_listing(id, settings, context);
  } catch (const hub::Unreachable& error) {
    if (!cache.read_ref(id.revision)) throw;
    const std::string found = find_offline(cache, id, "the hub cannot be reached", find);
    context.warn("hub-unreachable", fmt::format("{}: the hub cannot be reached; what the cache has of revision {} is used, which may be outdated", id.repo, id.revision));
    return found;
  }
  const std::string place = bring_it(listing, id, cache, settings, context);
  cache.write_ref(id.revision, listing.commit);
  return place;
}

}  // namespace

std::string fetch_model(const HubId& id, const HubSettings& settings, Context& context, bool config_only) {
  return fetch(
      id, settings, context, [&](const RepoCache& cache, const HubId& of, const std::string& commit) { return find_model(cache, of, commit, config_only); },
      [&](const Listing& listing, const HubId& of, const RepoCache& cache, const HubSettings& with, Context& in) { return bring_model(listing, of, cache, with, in, config_only); });
}

bool lacks_weights(const std::string& snapshot) {
  const size_t at = snapshot.rfind("/models--"), end = snapshot.find("/snapshots/", at == snapshot.npos ? 0 : at);
  if (at == snapshot.npos || end == snapshot.npos || !is_directory(snapshot)) return false;
  HubId id;
  id.repo = snapshot.substr(at + 9, end - at - 9);
  if (const size_t split = id.repo.find("--"); split != id.repo.npos) id.repo.replace(split, 2, "/");
  try {
    find_model(RepoCache(snapshot.substr(0, at), id), id, snapshot.substr(end + 11), false);
    return false;
  } catch (const Error&) {
    return true;
  }
}

std::string fetch_dataset_file(const HubId& id, const HubSettings& settings, Context& context) {
  for (const char* ending : {".parquet", ".arrow", ".zip", ".tar"})
    if (hub::lower(id.file).ends_with(ending))
      throw input_error("hub", id.repo + ":" + id.file, "is no text; calibration reads .txt, .json and .jsonl files (.gz too): choose such a file of the data set");
  return fetch(id, settings, context, find_file, bring_file);
}

}  // namespace teeny
