// A model on one GPU with its weights packed as the kernels read them.
#pragma once
#include <array>
#include <vector>

#include "runtime/cuda/weights.h"
#include "teeny/core/context.h"
#include "teeny/kernels/decode_step.h"
#include "teeny/model/block.h"

namespace teeny {

// Linears that read one input, in as few packed matrices as their formats allow.
struct Projection {
  std::vector<PackedWeight> weights;
  int64_t N = 0, K = 0;               // rows of all together
  bool pair = false;                  // gate and up, interleaved: the product may end in silu(gate) * up
  bool multiplies_large() const;      // products of many tokens take its weights as they are packed
};

struct GpuLayer {
  Tensor attn_norm, mlp_norm, q_norm, k_norm;  // f32
  Projection qkv, o, gate_up, down;
};

struct GpuModel {
  ModelSpec spec;
  QuantConfig quant;
  at::Device device = at::kCUDA;
  std::vector<GpuLayer> layers;
  PackedWeight head, embedding;       // embedding is empty when tied
  Tensor final_norm;
  int decoded = 0, linears = 0;       // weights held as f16 for want of a packed form, of how many
  int64_t held = 0;                   // layers 0 .. held: weights on the device; those after them: in host memory

  const PackedWeight& embedding_table() const { return spec.tied ? head : embedding; }
  uint64_t decode_bytes() const, macs_per_token() const, resident_bytes() const;
  std::string note() const;
  cuda::HeadShape head_shape(const GpuLayer& layer, const Rope& rope) const;
};

// Empty: the GPU engine can hold and run models of this spec here; else why not.
std::string unsupported_reason(const ModelSpec& spec, at::Device device);
// gpu_layers: "all", "auto" or a count (runner.h).
GpuModel load_gpu_model(const TensorSource& source, at::Device device, const std::string& gpu_layers, Context& context);
// How many of `layers` that text asks for; "auto": all of them, as far as they fit. Usage error: no such count.
int64_t held_layers(const std::string& gpu_layers, int64_t layers);
// What the device must have left beside the weights: cache of 8192 tokens, workspace of a prefill, logits.
uint64_t working_bytes(const ModelSpec& spec);
// What a prefill holds of them at most: a layer's weights in f16 (ahead.h).
uint64_t decoded_bytes(const ModelSpec& spec);

// Keys and values of slots of `capacity` tokens each, f16: (slots * capacity, kv_heads * D) a layer.
struct GpuCache {
  int64_t slots = 0, capacity = 0;
  std::vector<Tensor> k, v;
  cuda::Cache layer(size_t i) const { return {k[i].data_ptr(), v[i].data_ptr(), capacity}; }
};
GpuCache make_gpu_cache(const GpuModel& model, int64_t slots, int64_t capacity);

}  // namespace teeny
