// Which files of a repository teeny needs, by their names alone.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "teeny/hub/hub.h"

namespace teeny::hub {

struct Selection {
  std::vector<std::string> files;
  std::string main;   // the GGUF file to open (the first of a split one); empty: the folder
  std::string index;  // of shards: read it, then add shards_of() to the files
};

// Input error that lists the choices when there is nothing to take, or more than one.
Selection select_model_files(const std::vector<std::string>& paths, const HubId& id);
std::vector<std::string> shards_of(std::string_view index, const std::vector<std::string>& paths, const HubId& id);
// Two of the names would be one file where case does not count: Input error.
void refuse_same_but_for_case(const std::vector<std::string>& files, const HubId& id);

}  // namespace teeny::hub
