#include <algorithm>
#include <numeric>

#include "containers/common.h"
#include "containers/safetensors/header.h"
#include "containers/sink_progress.h"
#include "teeny/containers/sink.h"
#include "teeny/core/checked.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
constexpr const char* kWhere = "safetensors";

struct Shard {
  std::string name, header;     // header: length and JSON, padded to a multiple of 8
  std::vector<size_t> tensors;  // indices into the plan, in file order
  uint64_t data_bytes = 0;
};

std::string json_string(const std::string& name) {
  try {
    return Json(name).dump();
  } catch (const Json::exception&) {
    throw input_error(kWhere, "output", "the tensor name \"{}\" is not valid UTF-8, which safetensors needs", printable(name));
  }
}

std::vector<Shard> cut_shards(const std::vector<TensorSpec>& tensors, uint64_t shard_bytes) {
  std::vector<Shard> shards(1);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const uint64_t bytes = tensors[i].bytes();
    if (!shards.back().tensors.empty() && (bytes > shard_bytes || shards.back().data_bytes > shard_bytes - bytes)) shards.emplace_back();
    const auto total = checked_add(shards.back().data_bytes, bytes);
    if (!total) throw input_error(kWhere, "output", "the tensors together overflow 64 bits");
    shards.back().data_bytes = *total;
    shards.back().tensors.push_back(i);
  }
  for (size_t i = 0; i < shards.size(); ++i)
    shards[i].name = shards.size() == 1 ? "model.safetensors" : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  return shards;
}

// Wide types first: readers make views of the data, which must be aligned to the element.
void build_header(Shard& shard, const std::vector<TensorSpec>& tensors) {
  std::stable_sort(shard.tensors.begin(), shard.tensors.end(),
                   [&](size_t a, size_t b) { return traits(tensors[a].dtype).bytes > traits(tensors[b].dtype).bytes; });
  // Text is put together here: a tree with a million keys would cost more than the header itself.
  std::string json = R"({"__metadata__":{"format":"pt"})";
  uint64_t offset = 0;
  for (const size_t i : shard.tensors) {
    const auto& tensor = tensors[i];
    const auto dtype = traits(tensor.dtype).safetensors;
    if (dtype.empty())
      throw input_error(kWhere, "output", "tensor \"{}\" has the type {}, which safetensors does not know", printable(tensor.name), name_of(tensor.dtype));
    if (tensor.name == "__metadata__") throw input_error(kWhere, "output", "a tensor cannot have the name __metadata__");
    json += fmt::format(R"(,{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", json_string(tensor.name), dtype, fmt::join(tensor.shape, ","), offset, offset + tensor.bytes());
    offset += tensor.bytes();
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');
  if (json.size() > kSafetensorsMaxHeader) throw input_error(kWhere, "output", "the header needs {} bytes, at most {} are allowed; write smaller shards", json.size(), kSafetensorsMaxHeader);
  const uint64_t length = json.size();
  shard.header.assign(reinterpret_cast<const char*>(&length), sizeof length);
  shard.header += json;
}

std::vector<Shard> layout_shards(const std::vector<TensorSpec>& tensors, uint64_t shard_bytes) {
  auto shards = cut_shards(tensors, shard_bytes);
  for (auto& shard : shards) build_header(shard, tensors);
  return shards;
}

uint64_t bytes_of(const std::vector<Shard>& shards) {
  uint64_t total = 0;
  for (const auto& shard : shards) total += shard.header.size() + shard.data_bytes;
  return total;
}

class SafetensorsSink : public TensorSink {
 public:
  SafetensorsSink(const std::string& directory, const std::vector<TensorSpec>& tensors, uint64_t shard_bytes) : directory_(directory) {
    const auto shards = layout_shards(tensors, shard_bytes);
    require_free_space(path_join(directory, "model.safetensors"), bytes_of(shards));
    for (const auto& shard : shards) {
      uint64_t offset = shard.header.size();
      for (const size_t i : shard.tensors) {
        progress_.plan(tensors[i].name, {files_.size(), offset, tensors[i].bytes()});
        offset += tensors[i].bytes();
        if (shards.size() > 1) weight_map_.emplace_back(tensors[i].name, shard.name);
      }
      data_bytes_ += shard.data_bytes;
      files_.push_back(std::make_unique<OutputFile>(path_join(directory, shard.name)));
      files_.back()->write(shard.header);
    }
  }
  void put(const std::string& name, std::span<const std::byte> bytes, uint64_t offset) override {
    const auto place = progress_.claim(name, bytes.size(), offset);
    files_[place.file]->write_at(place.offset, bytes);
  }
  void finish() override {
    progress_.finish();
    for (auto& file : files_) file->commit();
    if (!weight_map_.empty()) write_file(path_join(directory_, "model.safetensors.index.json"), index_text());
  }

 private:
  std::string index_text() {
    std::sort(weight_map_.begin(), weight_map_.end());
    std::string text = fmt::format("{{\n \"metadata\": {{\"total_size\": {}}},\n \"weight_map\": {{", data_bytes_);
    for (size_t i = 0; i < weight_map_.size(); ++i)
      text += fmt::format("{}\n  {}: \"{}\"", i ? "," : "", json_string(weight_map_[i].first), weight_map_[i].second);
    return text + "\n }\n}\n";
  }
  std::string directory_;
  std::vector<std::unique_ptr<OutputFile>> files_;
  std::vector<std::pair<std::string, std::string>> weight_map_;
  SinkProgress progress_;
  uint64_t data_bytes_ = 0;
};

}  // namespace

uint64_t safetensors_file_bytes(const std::vector<TensorSpec>& tensors, uint64_t shard_bytes) { return bytes_of(layout_shards(tensors, shard_bytes)); }

std::unique_ptr<TensorSink> create_safetensors_sink(const std::string& directory, const std::vector<TensorSpec>& tensors, uint64_t shard_bytes) {
  return std::make_unique<SafetensorsSink>(directory, tensors, shard_bytes);
}

}  // namespace teeny
