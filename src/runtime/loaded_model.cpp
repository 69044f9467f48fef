#include "runtime/loaded_model.h"

#include "teeny/core/error.h"

namespace teeny {
namespace {

// f32 on the CPU while it fits into memory; on a GPU for models below a billion parameters, where it costs nothing.
at::ScalarType choose_dtype(const ModelSpec& spec, at::Device device) {
  const uint64_t as_float = uint64_t(spec.parameters()) * 4;
  if (device.is_cuda()) return spec.parameters() < 1'000'000'000 ? at::kFloat : at::kBFloat16;
  const uint64_t available = available_host_bytes();
  return available == 0 || as_float < available / 10 * 7 ? at::kFloat : at::kBFloat16;
}

void require_memory(const TensorSource& source, const ModelSpec& spec, at::ScalarType dtype, at::Device device) {
  if (device.is_cuda()) return;
  const uint64_t needed = uint64_t(spec.parameters()) * c10::elementSize(dtype), available = available_host_bytes();
  if (available && needed > available)
    throw device_error("load", source.path(), "needs {} of memory, {} are available; close other programs or use a larger machine", human_bytes(needed),
                       human_bytes(available));
}

void check_activations(const TensorSource& source, const QuantConfig& quant, int act_bits) {
  if (act_bits != 0 && act_bits != 8 && act_bits != 16) throw usage_error("load", fmt::format("--act-bits {}", act_bits), "does not exist; activations have 8 or 16 bits");
  if (act_bits == 8 && quant.act_bits != 8 && quant.format != "int8")
    throw usage_error("load", "--act-bits 8", "is for checkpoints whose runtimes round activations (LLM.int8, W8A8), and {} is none; leave it out", source.path());
}

void set_activations(Linear& linear, const QuantConfig& quant, int act_bits) {
  if (act_bits == 16) linear.act_bits = 16;
  if (act_bits != 8 || !linear.mixed) return;
  linear.act_bits = 8;
  linear.outliers_from = quant.int8_threshold;
}

}  // namespace

Tensor LoadedModel::logits(const Tensor& hidden) const {
  return at::linear(rms_norm(hidden, final_norm, spec.rms_eps), head).to(at::kFloat);
}

uint64_t LoadedModel::macs_per_token() const {
  uint64_t n = uint64_t(head.numel());
  for (const auto& block : blocks)
    for (const auto& linear : block.linears) n += uint64_t(linear.weight.numel());
  return n;
}

uint64_t LoadedModel::decode_bytes() const { return macs_per_token() * c10::elementSize(dtype); }

uint64_t LoadedModel::resident_bytes() const { return decode_bytes() + (spec.tied ? 0 : uint64_t(embedding.nbytes())); }

LoadedModel load_model(const TensorSource& source, at::Device device, Context& context, int act_bits) {
  LoadedModel model;
  model.spec = read_spec(source);
  const auto& spec = model.spec;
  model.device = device;
  model.dtype = choose_dtype(spec, device);
  require_memory(source, spec, model.dtype, device);
  const WeightLoader loader(source, spec);
  check_activations(source, loader.quant(), act_bits);
  model.quant = loader.quant();
  context.progress_start("load", uint64_t(spec.layers) + 1);
  model.embedding = load_linear(loader, "model.embed_tokens", spec.vocab, spec.hidden, model.options()).weight;
  model.head = spec.tied ? model.embedding : load_linear(loader, "lm_head", spec.vocab, spec.hidden, model.options()).weight;
  model.final_norm = loader.vector(kFinalNorm, spec.hidden).to(device);
  context.progress_advance();
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    context.check_interrupted();
    model.blocks.push_back(load_block(loader, spec, layer, model.options()));
    for (auto& linear : model.blocks.back().linears) set_activations(linear, loader.quant(), act_bits);
    context.progress_advance();
  }
  context.progress_finish();
  if (loader.label_contradicted())
    context.warn("gptq-label", fmt::format("{}: the stored zero points contradict the checkpoint_format label; the tensors are trusted", source.path()));
  return model;
}

}  // namespace teeny
