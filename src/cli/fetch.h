// Downloads of pinned files: a manifest names address, size and sha256; a file gets its name only when they agree.
#pragma once
#include <string>

#include "teeny/core/context.h"
#include "teeny/core/json.h"

namespace teeny::cli {

// Fetches what is missing of a set (configs/eval/<name>.json) into <cache>/<name>/ through the program curl; returns that
// folder. Device error without curl, network or space; Input error for content that is not what was pinned.
std::string fetch_set(const Json& manifest, const std::string& cache, const Context& context);
bool set_is_present(const Json& manifest, const std::string& cache);
Json load_manifest(const std::string& name);

}  // namespace teeny::cli
