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
  // v's output feeds o through attention channel by channel; a value head feeds all query heads of its group.
  groups.push_back({"v -> o", {3}, 1, nullptr, &block.linears[2], spec.heads / spec.kv_heads, spec.head_dim});
  groups.push_back({"post_attention_layernorm -> gate,up", {4, 5}, 2, &block.mlp_norm, nullptr});
  groups.push_back({"up -> down", {6}, 3, nullptr, &block.linears[5]});
  return groups;
}

Tensor tied(const ScaleGroup& group, const Tensor& s) {
  if (group.copies == 1) return s;
  const Tensor mean = s.clamp_min(1e-30).log().view({-1, group.copies, group.width}).mean({1}, true).exp();
  return mean.expand({-1, group.copies, group.width}).reshape({-1});
}

Tensor fold(Block& block, const ScaleGroup& group, const Tensor& s, at::ScalarType norm_type) {
  Tensor applied = s;
  if (group.norm) {
    applied = fold_norm(*group.norm, s, norm_type);
  } else {
    const Tensor rows = group.copies == 1 ? s : s.view({-1, group.copies, group.width}).select(1, 0).reshape({-1});
    group.producer->weight = group.producer->weight / rows.unsqueeze(1);
    if (group.producer->bias.defined()) group.producer->bias = group.producer->bias / rows;
  }
  for (const size_t index : group.consumers) block.linears[index].weight = block.linears[index].weight * applied;
  return applied;
}

}  // namespace teeny
