#include "hub/select.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "hub/names.h"
#include "teeny/core/error.h"
#include "teeny/core/json.h"

namespace teeny::hub {
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
// Beside the weights: what teeny reads, or copies into its output.
constexpr const char* kCompanions[] = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                       "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja", "chat_template.json", "quantize_config.json", "quant_config.json",
                                       "preprocessor_config.json", "LICENSE"};

using Paths = std::vector<std::string>;

bool contains(const Paths& paths, std::string_view path) { return std::find(paths.begin(), paths.end(), path) != paths.end(); }

std::string listed(const Paths& paths) {
  std::string out;
  for (size_t i = 0; i < paths.size() && i < 30; ++i) out += (i ? ", " : "") + paths[i];
  if (paths.size() > 30) out += fmt::format(" and {} more", paths.size() - 30);
  return out;
}

// "name-00002-of-00003.gguf" -> {"name", 2, 3}; count 0 for a file that is not of a split.
struct Part {
  std::string stem;
  int number = 0, count = 0;
};
Part part_of(const std::string& path) {
  Part part;
  part.stem = path.substr(0, path.size() - 5);
  const size_t n = part.stem.size();
  if (n < 15 || part.stem[n - 15] != '-' || part.stem.compare(n - 9, 4, "-of-") != 0) return part;
  const auto number = [&](size_t at, int& out) {
    const char* end = part.stem.data() + at + 5;
    return std::from_chars(part.stem.data() + at, end, out).ptr == end && out > 0;
  };
  int index = 0, count = 0;
  if (!number(n - 14, index) || !number(n - 5, count) || index > count) return part;
  return {part.stem.substr(0, n - 15), index, count};
}

// A type's name stands between separators: Q4_K is not in "x-Q4_K_M.gguf".
bool names_type(const std::string& path, const std::string& type) {
  std::string name = lower(path.substr(path.rfind('/') + 1)), wanted = lower(type);
  const auto bounded = [&](size_t i) { return i >= name.size() || name[i] == '-' || name[i] == '.'; };
  for (size_t at = name.find(wanted); at != name.npos; at = name.find(wanted, at + 1))
    if ((at == 0 || bounded(at - 1)) && bounded(at + wanted.size())) return true;
  return false;
}

Paths gguf_models(const Paths& paths) {
  Paths out;
  for (const auto& path : paths) {
    const std::string name = lower(path.substr(path.rfind('/') + 1));
    // Vision projectors and importance matrices are GGUF files, but no models.
    if (name.ends_with(".gguf") && name.find("mmproj") == name.npos && name.find("imatrix") == name.npos) out.push_back(path);
  }
  std::sort(out.begin(), out.end());
  return out;
}

// Of a split model the first part stands for all.
Paths heads_of(const Paths& paths) {
  Paths out;
  for (const auto& path : paths)
    if (part_of(path).number <= 1) out.push_back(path);
  return out;
}

Selection take_gguf(const std::string& path, const Paths& paths, const HubId& id) {
  const Part part = part_of(path);
  if (part.count == 0) return {{path}, path, ""};
  if (part.count > 1000) throw input_error("hub", id.repo, "{} claims to be one of {} parts", path, part.count);
  Selection selection;
  const std::string ending = path.substr(path.size() - 5);
  for (int i = 1; i <= part.count; ++i) {
    selection.files.push_back(fmt::format("{}-{:05}-of-{:05}{}", part.stem, i, part.count, ending));
    if (!contains(paths, selection.files.back())) throw input_error("hub", id.repo, "lacks {}, a part of {}", selection.files.back(), path);
  }
  selection.main = selection.files[0];
  return selection;
}

Selection select_gguf(const Paths& paths, const HubId& id) {
  const Paths models = gguf_models(paths);
  if (contains(paths, id.file) && lower(id.file).ends_with(".gguf")) return take_gguf(id.file, paths, id);
  const Paths heads = heads_of(models);
  if (heads.empty()) throw input_error("hub", id.repo, "has no .gguf file '{}'; it has: {}", id.file, listed(paths));
  Paths fitting;
  for (const auto& path : heads)
    if (names_type(path, id.file)) fitting.push_back(path);
  if (fitting.size() == 1) return take_gguf(fitting[0], paths, id);
  throw input_error("hub", id.repo, "has {} for '{}'; give one of its files as {}:FILE: {}", fitting.empty() ? "nothing" : "several files", id.file, id.repo,
                    listed(fitting.empty() ? heads : fitting));
}

Paths top_level_safetensors(const Paths& paths) {
  Paths out;
  for (const auto& path : paths)
    if (path.find('/') == path.npos && path.ends_with(".safetensors") && path.rfind("consolidated", 0) != 0 && path.rfind("adapter", 0) != 0) out.push_back(path);
  return out;
}

[[noreturn]] void throw_no_weights(const Paths& paths, const HubId& id) {
  if (const auto heads = heads_of(gguf_models(paths)); heads.size() > 1)
    throw input_error("hub", id.repo, "has several GGUF files; give one as {}:FILE or {}:TYPE: {}", id.repo, id.repo, listed(heads));
  const bool pickled = std::any_of(paths.begin(), paths.end(), [](const auto& path) { return path.ends_with(".bin") || path.ends_with(".pth") || path.ends_with(".pt"); });
  if (pickled) throw input_error("hub", id.repo, "has its weights in pickled files only (.bin, .pth), which can run code; find or make a safetensors version of it");
  throw input_error("hub", id.repo, "has neither safetensors nor GGUF weights; it has: {}", listed(paths));
}

}  // namespace

Selection select_model_files(const Paths& paths, const HubId& id) {
  if (!id.file.empty()) return select_gguf(paths, id);
  const Paths weights = top_level_safetensors(paths);
  Selection selection;
  for (const char* name : kCompanions)
    if (contains(paths, name)) selection.files.push_back(name);
  // The order in which a folder is opened (containers/safetensors/reader.cpp).
  if (contains(paths, kSingle)) {
    selection.files.push_back(kSingle);
  } else if (contains(paths, kIndex)) {
    selection.files.push_back(kIndex);
    selection.index = kIndex;
  } else if (weights.size() == 1 && contains(paths, "config.json")) {
    selection.files.push_back(weights[0]);
  } else {
    const Paths heads = heads_of(gguf_models(paths));
    if (!weights.empty()) throw input_error("hub", id.repo, "has {} safetensors files and no index of them: {}", weights.size(), listed(weights));
    if (heads.size() == 1) return take_gguf(heads[0], paths, id);
    throw_no_weights(paths, id);
  }
  if (!contains(paths, "config.json")) throw input_error("hub", id.repo, "has no config.json; it has: {}", listed(paths));
  return selection;
}

Paths shards_of(std::string_view index, const Paths& paths, const HubId& id) {
  const Json json = parse_json(index, "hub", kIndex);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) throw input_error("hub", id.repo, "{} has no weight_map", kIndex);
  std::set<std::string> shards;
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    if (!file.is_string()) throw input_error("hub", id.repo, "{} has an entry that is no file name", kIndex);
    shards.insert(file.get<std::string>());
  }
  const Paths weights = top_level_safetensors(paths);
  for (const auto& shard : shards)
    if (!contains(weights, shard)) throw input_error("hub", id.repo, "{} names the shard {}, which is not there", kIndex, Json(shard.substr(0, 120)).dump(-1, ' ', true, Json::error_handler_t::replace));
  return {shards.begin(), shards.end()};
}

void refuse_same_but_for_case(const Paths& files, const HubId& id) {
  std::map<std::string, std::string> seen;
  for (const auto& file : files)
    if (const auto [at, fresh] = seen.emplace(lower(file), file); !fresh && at->second != file)
      throw input_error("hub", id.repo, "has {} and {}, which differ in case only; they cannot both be kept everywhere", at->second, file);
}

}  // namespace teeny::hub
