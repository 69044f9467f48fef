#include "runtime/cuda/model.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <charconv>

#include "teeny/core/error.h"

namespace teeny {
namespace {

Projection load_projection(GpuModel& model, const WeightLoader& loader, const std::string& prefix, std::initializer_list<const char*> modules, bool pair) {
  Projection out;
  out.pair = pair;
  std::vector<std::vector<PreparedWeight>> groups;
  for (const char* module : modules) {
    const auto [N, K] = linear_shape(model.spec, module);
    auto prepared = prepare_weight(loader, prefix + module, N, K, model.device);
    out.N += N, out.K = K;
    model.linears += 1, model.decoded += prepared.decoded;
    if (!groups.empty() && groups.back().back().can_join(prepared)) groups.back().push_back(std::move(prepared));
    else groups.emplace_back().push_back(std::move(prepared));
  }
  out.pair = pair && groups.size() == 1;
  for (auto& group : groups) out.weights.push_back(pack_weights(std::move(group), out.pair));
  return out;
}

uint64_t bytes_of(const Projection& p) {
  uint64_t n = 0;
  for (const auto& w : p.weights) n += w.bytes();
  return n;
}

uint64_t bytes_of(const GpuLayer& l) { return bytes_of(l.qkv) + bytes_of(l.o) + bytes_of(l.gate_up) + bytes_of(l.down); }

// What this process could still take: the device's free memory, and what libtorch holds of it unused.
uint64_t available_bytes(at::Device device) {
  const auto stats = at::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  const auto all = size_t(c10::CachingAllocator::StatType::AGGREGATE);
  return cuda::memory_info().free + uint64_t(std::max<int64_t>(0, stats.reserved_bytes[all].current - stats.allocated_bytes[all].current));
}

void keep_on_host(GpuLayer& layer) {
  for (auto* p : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down})
    for (auto& w : p->weights) w.keep_on_host();
}

}  // namespace

bool Projection::multiplies_large() const {
  return std::all_of(weights.begin(), weights.end(), [](const PackedWeight& w) { return w.act_bits == 16 && w.storage.is_cuda() && cuda::multiplies_large(w.layout); });
}

int64_t held_layers(const std::string& text, int64_t layers) {
  if (text == "all" || text == "auto") return layers;
  int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 0) throw usage_error("usage", "--gpu-layers", "'{}' is not a count, all or auto", text);
  return std::min(count, layers);
}

uint64_t decoded_bytes(const ModelSpec& spec) {
  return 2 * uint64_t(spec.hidden) * uint64_t(3 * spec.intermediate + 2 * (spec.heads + spec.kv_heads) * spec.head_dim);
}

uint64_t working_bytes(const ModelSpec& spec) {
  constexpr uint64_t kTokens = 8192;  // GpuSession's prefill
  const auto n = [](int64_t v) { return uint64_t(v); };
  const uint64_t cache = kTokens * n(spec.layers) * n(spec.kv_heads * spec.head_dim) * 2 * 2;
  const uint64_t matrix = decoded_bytes(spec) + n(spec.hidden) * 16384 * 2;
  const uint64_t tokens = kTokens * (n(spec.hidden) * 10 + n(2 * spec.heads * spec.head_dim + 2 * spec.kv_heads * spec.head_dim) * 2 + n(3 * spec.intermediate) * 2);
  return cache + matrix + tokens + 64 * n(spec.vocab) * 4 + (uint64_t(512) << 20);
}

uint64_t GpuModel::decode_bytes() const {
  uint64_t n = head.bytes();
  for (const auto& l : layers) n += bytes_of(l.qkv) + bytes_of(l.o) + bytes_of(l.gate_up) + bytes_of(l.down);
  return n;
}

uint64_t GpuModel::macs_per_token() const {
  uint64_t n = uint64_t(spec.vocab * spec.hidden);
  for (const auto& l : layers)
    for (const auto* p : {&l.qkv, &l.o, &l.gate_up, &l.down}) n += uint64_t(p->N * p->K);
  return n;
}

// As held in memory, on the device or the host.
uint64_t GpuModel::resident_bytes() const { return decode_bytes() + (spec.tied ? 0 : embedding.bytes()); }

std::string GpuModel::note() const {
  const std::string all = "packed as stored, multiplied in f16 with f32 sums";
  std::string text = decoded == 0 ? all : fmt::format("{} of {} linears decoded to f16 (no packed form), the others {}", decoded, linears, all);
  if (held < spec.layers) text += fmt::format("; {} of {} layers on the GPU, the others in host memory, read over the bus", held, spec.layers);
  return text;
}

cuda::HeadShape GpuModel::head_shape(const GpuLayer& layer, const Rope& rope) const {
  const auto pointer = [](const Tensor& t) { return t.defined() ? t.const_data_ptr<float>() : nullptr; };
  return {int(spec.heads), int(spec.kv_heads), int(spec.head_dim), float(spec.rms_eps), pointer(layer.q_norm), pointer(layer.k_norm), pointer(rope.cos), pointer(rope.sin)};
}

std::string unsupported_reason(const ModelSpec& spec, at::Device device) {
  if (!cuda::built()) return "this build has no CUDA kernels";
  const auto facts = cuda::device_facts(device.index());
  if (facts.major < 8) return fmt::format("{} has compute capability {}.{}, the kernels need 8.0", facts.name, facts.major, facts.minor);
  if (!cuda::attention_supports(int(spec.heads), int(spec.kv_heads), int(spec.head_dim)))
    return fmt::format("no attention kernel for {} heads, {} key heads of {}", spec.heads, spec.kv_heads, spec.head_dim);
  if (spec.hidden % 4 != 0) return fmt::format("hidden size {} is no multiple of 4", spec.hidden);
  return {};
}

GpuModel load_gpu_model(const TensorSource& source, at::Device device, const std::string& gpu_layers, Context& context) {
  GpuModel model;
  model.spec = read_spec(source);
  model.device = device;
  const auto& spec = model.spec;
  model.held = held_layers(gpu_layers, spec.layers);
  uint64_t layer_bytes = 0;  // of the largest so far
  const WeightLoader loader(source, spec);
  model.quant = loader.quant();
  context.progress_start("load", uint64_t(spec.layers) + 1);
  const auto one = [&](const std::string& module) {
    std::vector<PreparedWeight> weights;
    weights.push_back(prepare_weight(loader, module, spec.vocab, spec.hidden, device));
    model.linears += 1, model.decoded += weights[0].decoded;
    weights[0].act_bits = 16;  // (what runtimes round are the inputs of a block's linears)
    return pack_weights(std::move(weights));
  };
  model.head = one(spec.tied ? "model.embed_tokens" : "lm_head");
  if (!spec.tied) model.embedding = one("model.embed_tokens");
  model.final_norm = loader.vector(kFinalNorm, spec.hidden).to(device);
  context.progress_advance();
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    context.check_interrupted();
    const std::string prefix = layer_prefix(layer);
    GpuLayer out;
    out.attn_norm = loader.vector(prefix + "input_layernorm.weight", spec.hidden).to(device);
    out.mlp_norm = loader.vector(prefix + "post_attention_layernorm.weight", spec.hidden).to(device);
    if (spec.qk_norm) {
      out.q_norm = loader.vector(prefix + "self_attn.q_norm.weight", spec.head_dim).to(device);
      out.k_norm = loader.vector(prefix + "self_attn.k_norm.weight", spec.head_dim).to(device);
    }
    out.qkv = load_projection(model, loader, prefix, {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, false);
    out.o = load_projection(model, loader, prefix, {"self_attn.o_proj"}, false);
    out.gate_up = load_projection(model, loader, prefix, {"mlp.gate_proj", "mlp.up_proj"}, true);
    out.down = load_projection(model, loader, prefix, {"mlp.down_proj"}, false);
    layer_bytes = std::max(layer_bytes, bytes_of(out));
    // The next layer needs its packed weights, and its codes while they are packed.
    if (gpu_layers == "auto" && layer < model.held && available_bytes(device) < working_bytes(spec) + 3 * layer_bytes) model.held = layer;
    if (layer >= model.held) keep_on_host(out);
    model.layers.push_back(std::move(out));
    context.progress_advance();
  }
  context.progress_finish();
  if (gpu_layers == "auto" && model.held < spec.layers)
    context.warn("gpu-layers", fmt::format("{} of {} layers fit the GPU's memory beside a cache of 8192 tokens; the weights of the others stay in host memory and are read over the bus, more slowly. "
                                           "--gpu-layers N chooses", model.held, spec.layers));
  if (loader.label_contradicted())
    context.warn("gptq-label", fmt::format("{}: the stored zero points contradict the checkpoint_format label; the tensors are trusted", source.path()));
  return model;
}

GpuCache make_gpu_cache(const GpuModel& model, int64_t slots, int64_t capacity) {
  GpuCache cache{slots, capacity, {}, {}};
  const auto options = at::TensorOptions().dtype(at::kHalf).device(model.device);
  for (int64_t layer = 0; layer < model.spec.layers; ++layer) {
    cache.k.push_back(at::zeros({slots * capacity, model.spec.kv_heads * model.spec.head_dim}, options));
    cache.v.push_back(at::zeros({slots * capacity, model.spec.kv_heads * model.spec.head_dim}, options));
  }
  return cache;
}

}  // namespace teeny
