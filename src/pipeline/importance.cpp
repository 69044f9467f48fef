#include "pipeline/job.h"
#include "teeny/core/error.h"
#include "teeny/family/names.h"

namespace teeny {

std::map<std::string, Tensor> read_importance(const std::string& path, const ModelSpec& spec, OutputNotes& notes) {
  const auto source = open_source(path);
  const auto* metadata = source->gguf();
  if (!metadata || metadata->string("general.type") != "imatrix")
    throw input_error("importance", path, "is not an imatrix in GGUF form (general.type is not \"imatrix\"); make one with llama-imatrix, whose .dat form is not read");
  std::map<std::string, Tensor> importance;
  for (const auto& tensor : source->tensors()) {
    if (!tensor.name.ends_with(".in_sum2")) continue;
    const std::string name = tensor.name.substr(0, tensor.name.size() - 8);
    const auto canonical = from_gguf_name(name);
    const auto* counts = source->find(name + ".counts");
    if (!canonical || !counts || tensor.dtype != DType::F32 || counts->dtype != DType::F32) continue;
    const Tensor sums = read_tensor(*source, tensor).flatten(), count = read_tensor(*source, *counts).flatten();
    const float n = count.numel() == 1 ? count.item<float>() : 0;
    // A tensor that calibration never reached weighs all columns alike, as llama.cpp does.
    Tensor values = n > 0 ? sums / n : at::ones_like(sums);
    if (!values.isfinite().all().item<bool>()) throw input_error("importance", path, "{} has values that are not finite; make the file again", tensor.name);
    if (values.sum().item<float>() <= 0) values = at::ones_like(values);
    importance[canonical->substr(0, canonical->size() - 7)] = values;
  }
  for (const auto& slot : kLinears) {
    const auto found = importance.find(layer_prefix(0) + slot.module);
    if (found == importance.end()) throw input_error("importance", path, "has no entry for {}; it belongs to another model", layer_prefix(0) + slot.module);
    if (found->second.numel() != linear_shape(spec, slot.module).second)
      throw input_error("importance", path, "{} has {} columns, the model has {}; it belongs to another model", found->first, found->second.numel(),
                        linear_shape(spec, slot.module).second);
  }
  notes.importance_file = path;
  notes.importance_entries = int64_t(importance.size());
  notes.importance_chunks = metadata->integer("imatrix.chunk_count").value_or(0);
  if (const auto* sets = metadata->strings("imatrix.datasets"); sets && !sets->empty()) notes.importance_dataset = sets->front();
  return importance;
}

}  // namespace teeny
