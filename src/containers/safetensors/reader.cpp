// Opens one safetensors file, or a Hugging Face directory of one file or of shards.
#include <algorithm>
#include <filesystem>
#include <unordered_map>

#include "containers/common.h"
#include "containers/safetensors/header.h"
#include "teeny/core/error.h"

namespace teeny {
namespace fs = std::filesystem;
namespace {
constexpr const char* kWhere = "open";
constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

std::vector<TensorInfo> read_header(const File& file) {
  std::array<std::byte, 8> start{};
  const auto have = std::min<uint64_t>(8, file.size());
  file.read(0, std::span(start).first(have));
  const uint64_t length = safetensors_header_length(std::span(start).first(have), file.size(), file.path());
  char first = 0;  // looked at before 100 MB are read in vain
  file.read(8, std::as_writable_bytes(std::span(&first, 1)));
  if (first != '{') throw input_error("safetensors", file.path(), "the header does not begin with '{{' at byte 8; is this a safetensors file?");
  std::string json(length, '\0');
  file.read(8, std::as_writable_bytes(std::span(json)));
  return parse_safetensors_header(json, file.size(), file.path()).tensors;
}

void read_config(SourceBuilder& source, const std::string& directory) {
  const auto path = path_join(directory, "config.json");
  if (!path_exists(path)) return;
  Json config = read_json_file(path, "config", 64 << 20);
  if (!config.is_object()) throw input_error("config", path, "is not a JSON object");
  source.set_config(std::move(config));
}

void add_file(SourceBuilder& source, const std::string& path) {
  File file(path);
  auto tensors = read_header(file);
  source.add(std::move(file), std::move(tensors));
}

// The index is compared with the shards in both directions: a tensor that only one of them knows is an error.
void add_shards(SourceBuilder& source, const std::string& directory) {
  const auto index_path = path_join(directory, kIndex);
  const auto map = parse_safetensors_index(read_file(index_path, kSafetensorsMaxHeader), index_path);
  std::unordered_map<std::string_view, std::string_view> file_of;
  std::vector<std::string_view> shards;
  for (const auto& [tensor, file] : map) {
    file_of.emplace(tensor, file);
    shards.push_back(file);
  }
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  for (const auto shard : shards) {
    const auto path = path_join(directory, shard);
    if (!path_exists(path)) throw input_error("index", index_path, "names the shard {}, which is absent; download it again", shard);
    File file(path);
    auto tensors = read_header(file);
    for (const auto& tensor : tensors) {
      const auto at = file_of.find(tensor.name);
      if (at == file_of.end()) throw input_error("index", index_path, "weight_map lacks tensor \"{}\" of {}", printable(tensor.name), shard);
      if (at->second != shard)
        throw input_error("index", index_path, "weight_map has tensor \"{}\" in {}, but {} holds it", printable(tensor.name), at->second, shard);
    }
    source.add(std::move(file), std::move(tensors));
  }
  for (const auto& [tensor, file] : map)
    if (!source.find(tensor)) throw input_error("index", index_path, "weight_map has tensor \"{}\" in {}, which lacks it", printable(tensor), file);
}

std::vector<std::string> files_ending(const std::string& directory, std::string_view ending) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
    if (auto name = it->path().filename().string(); name.ends_with(ending)) names.push_back(std::move(name));
  std::sort(names.begin(), names.end());
  return names;
}

[[noreturn]] void throw_no_model(const std::string& directory) {
  std::string hint = "download or export the model as safetensors";
  if (const auto gguf = files_ending(directory, ".gguf"); !gguf.empty()) hint = fmt::format("pass the GGUF file itself: {}", path_join(directory, gguf[0]));
  else if (!files_ending(directory, ".bin").empty()) hint = "its weights are pickled (.bin), which can run code: convert them to safetensors first";
  throw input_error(kWhere, directory, "has neither {} nor {}; {}", kSingle, kIndex, hint);
}
}  // namespace

std::unique_ptr<TensorSource> open_safetensors_file(const std::string& path) {
  auto source = std::make_unique<SourceBuilder>(ContainerKind::Safetensors, path);
  add_file(*source, path);
  const auto parent = fs::path(path).parent_path().string();
  read_config(*source, parent.empty() ? "." : parent);
  return source;
}

std::unique_ptr<TensorSource> open_config(const std::string& directory) {
  auto source = std::make_unique<SourceBuilder>(ContainerKind::Safetensors, directory);
  read_config(*source, directory);
  if (source->config().is_null()) throw_no_model(directory);
  return source;
}

bool has_config_only(const std::string& path) {
  return is_directory(path) && path_exists(path_join(path, "config.json")) && files_ending(path, ".safetensors").empty() && !path_exists(path_join(path, kIndex));
}

std::unique_ptr<TensorSource> open_safetensors_directory(const std::string& path) {
  auto source = std::make_unique<SourceBuilder>(ContainerKind::Safetensors, path);
  read_config(*source, path);
  if (path_exists(path_join(path, kSingle))) {
    add_file(*source, path_join(path, kSingle));
  } else if (path_exists(path_join(path, kIndex))) {
    add_shards(*source, path);
  } else {
    // Older quantizers name their only file after the method (gptq_model-4bit-128g.safetensors).
    const auto names = files_ending(path, ".safetensors");
    if (names.size() != 1 || source->config().is_null()) throw_no_model(path);
    add_file(*source, path_join(path, names[0]));
  }
  return source;
}

}  // namespace teeny
