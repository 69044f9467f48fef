#include "pipeline/output.h"

#include <filesystem>

#include "teeny/core/error.h"
#include "teeny/encodings/encoding.h"
#include "teeny/family/names.h"
#include "teeny/family/tokenizer_source.h"
#include "teeny/model/loader.h"
#include "teeny/plan/gguf_mix.h"

namespace teeny {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kShardBytes = 5'000'000'000;
constexpr const char* kCompanions[] = {"generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt",
                                       "chat_template.jinja", "added_tokens.json", "tokenizer.model", "preprocessor_config.json", "LICENSE"};

std::vector<TensorSpec> tensor_specs(const Plan& plan) {
  std::vector<TensorSpec> specs;
  for (const auto& tensor : plan.tensors)
    for (const auto& part : tensor.parts) specs.push_back({part.suffix, part.dtype, part.shape});
  return specs;
}

std::span<const std::byte> bytes_of(const Tensor& t) {
  TEENY_ASSERT(t.is_contiguous());
  return {static_cast<const std::byte*>(t.const_data_ptr()), t.nbytes()};
}

GgufMetadata gguf_metadata(const Plan& plan, const TensorSource& source, const OutputNotes& notes) {
  GgufMetadata metadata;
  write_gguf_model_keys(plan.spec, metadata);
  metadata.set_u32("general.file_type", uint32_t(gguf_file_type(plan.type).number));
  metadata.set_u32("general.quantization_version", 2);
  write_gguf_vocabulary(source, plan.spec, metadata);
  if (!notes.importance_file.empty()) {
    metadata.set_string("quantize.imatrix.file", notes.importance_file);
    metadata.set_string("quantize.imatrix.dataset", notes.importance_dataset);
    metadata.set_u32("quantize.imatrix.entries_count", uint32_t(notes.importance_entries));
    metadata.set_u32("quantize.imatrix.chunks_count", uint32_t(notes.importance_chunks));
  }
  return metadata;
}

// A Hugging Face tokenizer and generation config for a model that came from GGUF.
void write_tokenizer_files(const TensorSource& source, const ModelSpec& spec, const std::string& directory) {
  const auto tokenizer = load_tokenizer(source);
  const auto& data = tokenizer->data();
  write_file(path_join(directory, "tokenizer.json"), dump_json(write_tokenizer_json(data)));
  const auto name = [&](int32_t id) { return id >= 0 && size_t(id) < data.tokens.size() ? Json(data.tokens[size_t(id)]) : Json(); };
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"add_bos_token", data.add_bos},          {"bos_token", data.add_bos ? name(data.bos) : Json()},
                 {"eos_token", name(data.eos)},                  {"pad_token", name(data.pad)},            {"model_max_length", spec.context},
                 {"clean_up_tokenization_spaces", false}};
  if (const auto templates = read_chat_templates(source); !templates.empty()) config["chat_template"] = templates[0].second;
  write_file(path_join(directory, "tokenizer_config.json"), dump_json(config));
  Json generation = {{"eos_token_id", spec.eos}};
  if (spec.bos >= 0) generation["bos_token_id"] = spec.bos;
  if (spec.pad >= 0) generation["pad_token_id"] = spec.pad;
  write_file(path_join(directory, "generation_config.json"), dump_json(generation));
}

// Row order in the file, when it is not the canonical one (q and k of arch "llama" in GGUF).
std::vector<int64_t> stored_rows(const Plan& plan, const std::string& module) {
  if (plan.container != ContainerKind::Gguf) return {};
  const auto at = module.find("layers.");
  if (at == std::string::npos) return {};
  std::string name = module.substr(module.find('.', at + 7) + 1);
  for (const char* suffix : {".bias", ".weight"})
    if (name.ends_with(suffix)) name.resize(name.size() - std::string_view(suffix).size());
  return gguf_row_order(plan.spec, name);
}

}  // namespace

void check_output_path(const std::string& path, const TensorSource& source, bool force) {
  std::error_code ignored;
  if (fs::exists(path, ignored)) {
    if (fs::equivalent(path, source.path(), ignored) || (!source.directory().empty() && fs::equivalent(path, source.directory(), ignored)))
      throw usage_error("write", path, "is the input itself; choose another --out");
    if (!force) throw usage_error("write", path, "exists already; pass --force to replace it, or choose another --out");
  }
  const auto parent = fs::absolute(path, ignored).parent_path();
  if (!fs::is_directory(parent, ignored)) throw device_error("write", path, "the folder {} does not exist; create it first", parent.string());
}

Output::Output(const std::string& path, const Plan& plan, const TensorSource& source, const OutputNotes& notes)
    : path_(path), plan_(plan), source_(source), notes_(notes) {
  check_output_path(path, source, notes.options.force);
  // Beside the tensors: headers, vocabulary and tokenizer files, some 50 bytes a token.
  require_free_space(path, plan.bytes + (1 << 20) + uint64_t(plan.spec.vocab) * 50);
  if (plan.container == ContainerKind::Gguf) {
    const auto specs = tensor_specs(plan);
    const uint64_t part_bytes = notes.options.shard_bytes;
    path_ = gguf_part_paths(path, specs, part_bytes)[0];
    if (path_ != path) check_output_path(path_, source, notes.options.force);
    sink_ = create_gguf_sink(path, gguf_metadata(plan, source, notes), specs, part_bytes);
  } else {
    directory_.emplace(path, notes.options.force);
    sink_ = create_safetensors_sink(directory_->working_path(), tensor_specs(plan), notes.options.shard_bytes ? notes.options.shard_bytes : kShardBytes);
  }
}

void Output::write(const std::string& name, std::span<const std::byte> bytes) {
  sink_->put(name, bytes);
  if (recorder_) recorder_(name, bytes);
}

void Output::replay(const std::string& name, std::span<const std::byte> bytes) { sink_->put(name, bytes); }

void Output::put(const PlannedTensor& tensor, const QuantTensor& packed) {
  const auto order = stored_rows(plan_, tensor.module);
  TEENY_ASSERT(packed.parts.size() == tensor.parts.size());
  for (size_t i = 0; i < packed.parts.size(); ++i) {
    Tensor data = packed.parts[i].second.cpu();
    if (!order.empty()) data = data.index_select(0, at::tensor(order, at::kLong));
    const Tensor stored = data.contiguous().cpu();
    write(tensor.parts[i].suffix, bytes_of(stored));
  }
}

void Output::put_plain(const PlannedTensor& tensor, const Tensor& values) {
  const DType dtype = tensor.parts[0].dtype;
  Tensor data = values.cpu().to(scalar_type(dtype));
  if (!data.isfinite().all().item<bool>())
    throw input_error("write", tensor.module, "has values beyond what {} can hold; choose another --dtype or --method bf16", name_of(dtype));
  if (const auto order = stored_rows(plan_, tensor.module); !order.empty()) data = data.index_select(0, at::tensor(order, at::kLong));
  const Tensor stored = data.contiguous().cpu();
  write(tensor.parts[0].suffix, bytes_of(stored));
}

void Output::put_rows(const PlannedTensor& tensor, int64_t begin, std::span<const std::byte> stored) {
  TEENY_ASSERT(tensor.parts.size() == 1);
  sink_->put(tensor.parts[0].suffix, stored, uint64_t(begin) * (tensor.bytes / uint64_t(tensor.N)));
}

bool Output::reorders_rows(const PlannedTensor& tensor) const { return !stored_rows(plan_, tensor.module).empty(); }

void Output::finish() {
  if (plan_.container == ContainerKind::Safetensors) {
    const std::string& out = directory_->working_path();
    const Json config = output_config(plan_, source_, notes_);
    write_file(path_join(out, "config.json"), dump_json(config, 2));
    if (config.contains("quantization_config") && (plan_.format.starts_with("gptq") || plan_.format == "awq")) write_file(path_join(out, "quantize_config.json"), dump_json(config["quantization_config"], 2));
    const std::string from = source_.directory();
    for (const char* name : kCompanions) {
      if (from.empty() || !path_exists(path_join(from, name))) continue;
      write_file(path_join(out, name), read_file(path_join(from, name)));
    }
    if (source_.kind() == ContainerKind::Gguf) write_tokenizer_files(source_, plan_.spec, out);
  }
  sink_->finish();
  sink_.reset();
  if (directory_) directory_->commit();
}

}  // namespace teeny
