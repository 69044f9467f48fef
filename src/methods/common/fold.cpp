#include "methods/common/fold.h"

namespace teeny {
namespace {

// The norm is rounded first, and the consumers get exactly what that took away.
Tensor fold_norm(Tensor& norm, const Tensor& s, at::ScalarType type) {
  const Tensor rounded = (norm / s).to(type).to(at::kFloat), exact = norm / rounded;
  const Tensor usable = exact.isfinite().logical_and(exact > 0);
  norm = at::where(usable, rounded, norm);
  return at::where(usable, exact, at::ones_like(s));
}

}  // namespace

std::vector<ScaleGroup> scale_groups(const ModelSpec& spec, Block& block) {
  std::vector<ScaleGroup> groups = {{"input_layernorm -> q,k,v", {0, 1, 2}, 0, &block.attn_norm, nullptr}};
  // v's output feeds o through attention, channel by channel, only when every query head has its own value head.
  if (spec.heads == spec.kv_heads) groups.push_back({"v -> o", {3}, 1, nullptr, &block.linears[2]});
  groups.push_back({"post_attention_layernorm -> gate,up", {4, 5}, 2, &block.mlp_norm, nullptr});
  groups.push_back({"up -> down", {6}, 3, nullptr, &block.linears[5]});
  return groups;
}

Tensor fold(Block& block, const ScaleGroup& group, const Tensor& s, at::ScalarType norm_type) {
  Tensor applied = s;
  if (group.norm) {
    applied = fold_norm(*group.norm, s, norm_type);
  } else {
    group.producer->weight = group.producer->weight / s.unsqueeze(1);
    if (group.producer->bias.defined()) group.producer->bias = group.producer->bias / s;
  }
  for (const size_t index : group.consumers) block.linears[index].weight = block.linears[index].weight * applied;
  return applied;
}

}  // namespace teeny
