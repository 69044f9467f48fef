#include "hub/names.h"
#include "teeny/hub/hub.h"

namespace teeny {
namespace {

std::optional<HubId> parse(std::string_view text, bool dataset) {
  HubId id;
  id.dataset = dataset;
  if (text.size() > 1400) return std::nullopt;
  const size_t colon = text.find(':');
  if (colon != text.npos) {
    id.file = text.substr(colon + 1);
    if (!hub::is_contained(id.file)) return std::nullopt;
  }
  const std::string_view head = text.substr(0, colon);
  const size_t at = head.find('@');
  if (at != head.npos) {
    id.revision = head.substr(at + 1);
    if (!hub::is_revision(id.revision)) return std::nullopt;
  }
  id.repo = head.substr(0, at);
  if (!hub::is_repo_name(id.repo)) return std::nullopt;
  return id;
}

bool ends_like_a_file(std::string_view repo) {
  const std::string name = hub::lower(repo);
  for (std::string_view ending : {".gguf", ".safetensors", ".json", ".bin", ".txt"})
    if (name.ends_with(ending)) return true;
  return false;
}

}  // namespace

std::optional<HubId> parse_model_id(std::string_view text) {
  auto id = parse(text, false);
  // "runs/model.gguf" is a path that does not exist, not a repository.
  if (id && ends_like_a_file(id->repo)) return std::nullopt;
  return id;
}

std::optional<HubId> parse_dataset_id(std::string_view text) {
  auto id = parse(text, true);
  if (id && id->file.empty()) return std::nullopt;
  return id;
}

}  // namespace teeny
