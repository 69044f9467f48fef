// What the hub says about a repository at a revision.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "hub/http.h"
#include "teeny/core/json.h"

namespace teeny::hub {

struct RepoFile {
  std::string path;
  std::optional<uint64_t> bytes;  // where the server says so
  std::string content;            // content id: sha256 of LFS files, git's blob id of others; empty where it does not say
};

struct Listing {
  std::string commit;
  std::vector<RepoFile> files;
  const RepoFile* find(const std::string& path) const;
  std::vector<std::string> paths() const;
};

std::string repo_address(const HubId& id, const HubSettings& settings, const std::string& below);  // ".../org/name/<below>"
// Input error for names that do not stay in their folder, names that stand twice, sizes and ids that are none.
Listing parse_listing(const Json& json, const HubId& id);
Listing fetch_listing(const HubId& id, const HubSettings& settings, const Context& context);
// Asks for size and content id of each file by HEAD, and compares them with the listing and the commit.
std::vector<RepoFile> resolve_files(std::vector<RepoFile> files, const std::string& commit, const HubId& id, const HubSettings& settings, const Context& context);

}  // namespace teeny::hub
