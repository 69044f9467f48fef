// Blobs into the cache: small files side by side, big ones in ranges side by side, resumed where an earlier run stopped.
#pragma once
#include <string>
#include <vector>

#include "hub/cache.h"
#include "hub/repo.h"

namespace teeny::hub {

// Files with size and content id. Afterwards each is a checked blob and linked into the commit's snapshot.
void download(const std::vector<RepoFile>& files, const std::string& commit, const HubId& id, const RepoCache& cache, const HubSettings& settings, const Context& context);

}  // namespace teeny::hub
