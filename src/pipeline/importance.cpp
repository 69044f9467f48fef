#include <array>
#include <optional>
#include <span>

#include "pipeline/job.h"
#include "teeny/containers/imatrix.h"
#include "teeny/containers/sink.h"
#include "teeny/core/error.h"
#include "teeny/family/names.h"

namespace teeny {

namespace {

using Importance = std::map<std::string, Tensor>;

// "blk.0.ffn_up.weight" -> "model.layers.0.mlp.up_proj"; nothing for a name of another architecture.
std::optional<std::string> module_of(const std::string& gguf_name) {
  const auto canonical = from_gguf_name(gguf_name);
  if (!canonical || !canonical->ends_with(".weight")) return {};
  return canonical->substr(0, canonical->size() - 7);
}

// A tensor that calibration never reached weighs all columns alike, as llama.cpp does.
Tensor usable(Tensor values, bool reached) { return reached && values.sum().item<float>() > 0 ? values : at::ones_like(values); }

Importance read_dat(const std::string& path, OutputNotes& notes) {
  const std::string bytes = read_file(path);
  const auto dat = parse_imatrix_dat(std::as_bytes(std::span(bytes)), path);
  Importance importance;
  for (const auto& entry : dat.entries)
    if (const auto module = module_of(entry.name)) importance[*module] = usable(at::tensor(entry.values), entry.calls > 0);
  notes.importance_chunks = dat.chunks;
  notes.importance_dataset = dat.dataset;
  return importance;
}

Importance read_gguf(const std::string& path, OutputNotes& notes) {
  const auto source = open_source(path);
  const auto* metadata = source->gguf();
  if (!metadata || metadata->string("general.type") != "imatrix")
    throw input_error("importance", path, "is a model, not an imatrix (general.type is not \"imatrix\"); make one with --save-importance or llama-imatrix");
  Importance importance;
  for (const auto& tensor : source->tensors()) {
    if (!tensor.name.ends_with(".in_sum2")) continue;
    const std::string name = tensor.name.substr(0, tensor.name.size() - 8);
    const auto module = module_of(name);
    const auto* counts = source->find(name + ".counts");
    if (!module || !counts || tensor.dtype != DType::F32 || counts->dtype != DType::F32) continue;
    const Tensor sums = read_tensor(*source, tensor).flatten(), count = read_tensor(*source, *counts).flatten();
    const float n = count.numel() == 1 ? count.item<float>() : 0;
    if (!sums.isfinite().all().item<bool>()) throw input_error("importance", path, "{} has values that are not finite; make the file again", tensor.name);
    importance[*module] = usable(n > 0 ? sums / n : sums, n > 0);
  }
  notes.importance_chunks = metadata->integer("imatrix.chunk_count").value_or(0);
  if (const auto* sets = metadata->strings("imatrix.datasets"); sets && !sets->empty()) notes.importance_dataset = sets->front();
  return importance;
}

bool is_gguf(const std::string& path) {
  const File file(path);
  std::array<std::byte, 4> magic{};
  if (file.size() < magic.size()) return false;
  file.read(0, magic);
  return looks_like_gguf(magic);
}

}  // namespace

Importance read_importance(const std::string& path, const ModelSpec& spec, OutputNotes& notes) {
  Importance importance = is_gguf(path) ? read_gguf(path, notes) : read_dat(path, notes);
  for (const auto& slot : kLinears) {
    const auto found = importance.find(layer_prefix(0) + slot.module);
    if (found == importance.end()) throw input_error("importance", path, "has no entry for {}; it belongs to another model", layer_prefix(0) + slot.module);
    if (found->second.numel() != linear_shape(spec, slot.module).second)
      throw input_error("importance", path, "{} has {} columns, the model has {}; it belongs to another model", found->first, found->second.numel(),
                        linear_shape(spec, slot.module).second);
  }
  notes.importance_file = path;
  notes.importance_entries = int64_t(importance.size());
  return importance;
}

void write_importance(const std::string& path, const Importance& importance, const Calibration& calibration) {
  GgufMetadata metadata;
  metadata.set_string("general.type", "imatrix");
  metadata.set_strings("imatrix.datasets", {calibration.source});
  metadata.set_u32("imatrix.chunk_count", uint32_t(calibration.windows.size()));
  metadata.set_u32("imatrix.chunk_size", uint32_t(calibration.seq_len));
  std::vector<TensorSpec> specs;
  std::vector<Tensor> values;
  const float tokens = float(calibration.tokens());
  for (const auto& [module, mean] : importance) {
    const std::string name = to_gguf_name(module + ".weight").value();
    specs.push_back({name + ".in_sum2", DType::F32, {1, mean.numel()}});
    values.push_back((mean * tokens).contiguous());
    specs.push_back({name + ".counts", DType::F32, {1, 1}});
    values.push_back(at::full({1}, tokens));
  }
  const auto sink = create_gguf_sink(path, metadata, specs);
  for (size_t i = 0; i < specs.size(); ++i) sink->put(specs[i].name, std::span(static_cast<const std::byte*>(values[i].const_data_ptr()), values[i].nbytes()));
  sink->finish();
}

}  // namespace teeny
