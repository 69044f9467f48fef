// All weights of a model on one device, decoded once to the compute type.
#pragma once
#include "teeny/model/block.h"
#include "teeny/runtime/device.h"

namespace teeny {

struct LoadedModel {
  ModelSpec spec;
  QuantConfig quant;
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
  Tensor embedding;  // (V, H)
  Tensor head;       // (V, H); the embedding when tied
  Tensor final_norm;
  std::vector<Block> blocks;

  at::TensorOptions options() const { return at::TensorOptions().dtype(dtype).device(device); }
  Tensor embed(const Tensor& ids) const { return embedding.index_select(0, ids.reshape({-1})).view({ids.size(0), ids.size(1), spec.hidden}); }
  Tensor logits(const Tensor& hidden) const;  // (..., H) -> (..., V) f32
  uint64_t decode_bytes() const, macs_per_token() const, resident_bytes() const;
};

LoadedModel load_model(const TensorSource& source, at::Device device, Context& context, int act_bits = 0);  // load_runner's

}  // namespace teeny
