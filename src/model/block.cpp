#include "teeny/model/block.h"

#include "teeny/core/error.h"
#include "teeny/encodings/encoding.h"

namespace teeny {
namespace {

Tensor apply_rope(const Tensor& x, const Tensor& cos, const Tensor& sin) {  // x (B, heads, T, D); cos, sin (B, 1, T, D)
  const int64_t half = x.size(-1) / 2;
  const Tensor rotated = at::cat({-x.slice(-1, half), x.slice(-1, 0, half)}, -1);
  return x * cos + rotated * sin;
}

struct Heads {
  Tensor q, k, v;  // (B, heads or kv_heads, T, D)
};

Heads project(const ModelSpec& spec, const Block& block, const Tensor& x, const Rope& rope, const Attend& attend) {
  const int64_t B = x.size(0), T = x.size(1), D = spec.head_dim;
  const auto split = [&](const Tensor& t, int64_t heads) { return t.view({B, T, heads, D}).transpose(1, 2); };
  Heads h{split(block.linears[0](x), spec.heads), split(block.linears[1](x), spec.kv_heads), split(block.linears[2](x), spec.kv_heads)};
  if (block.q_norm.defined()) h.q = rms_norm(h.q, block.q_norm, spec.rms_eps);
  if (block.k_norm.defined()) h.k = rms_norm(h.k, block.k_norm, spec.rms_eps);
  const Tensor flat = attend.positions.reshape({-1});
  const Tensor cos = rope.cos.index_select(0, flat).view({attend.positions.size(0), 1, T, D}).to(x.scalar_type());
  const Tensor sin = rope.sin.index_select(0, flat).view({attend.positions.size(0), 1, T, D}).to(x.scalar_type());
  h.q = apply_rope(h.q, cos, sin);
  h.k = apply_rope(h.k, cos, sin);
  return h;
}

// Stores the new keys and values and returns what the call attends to, (B, kv_heads, keys, D).
std::pair<Tensor, Tensor> through_cache(const ModelSpec& spec, int64_t layer, const Heads& h, const Attend& attend) {
  if (!attend.cache) return {h.k, h.v};
  auto& cache = *attend.cache;
  const int64_t B = h.k.size(0), T = h.k.size(2), width = spec.kv_heads * spec.head_dim;
  auto& k = cache.k[size_t(layer)];
  auto& v = cache.v[size_t(layer)];
  k.index_copy_(0, attend.rows, h.k.transpose(1, 2).reshape({B * T, width}));
  v.index_copy_(0, attend.rows, h.v.transpose(1, 2).reshape({B * T, width}));
  if (attend.keys == T && !attend.mask.defined()) return {h.k, h.v};
  const auto view = [&](const Tensor& t) {
    return t.view({cache.slots, cache.capacity, spec.kv_heads, spec.head_dim}).narrow(0, attend.first_slot, B).narrow(1, 0, attend.keys).transpose(1, 2);
  };
  return {view(k), view(v)};
}

}  // namespace

Tensor Linear::operator()(const Tensor& input) const {
  const Tensor x = act_bits == 16 ? input : mixed ? round_but_outliers(input, outliers_from) : round_to_int8(input, input_scale, input_zero);
  return bias.defined() ? at::linear(x, weight, bias) : at::linear(x, weight);
}

Tensor round_to_int8(const Tensor& x, const Tensor& scale, const Tensor& zero) {
  Tensor q = x.to(at::kFloat);
  Tensor s = scale.defined() ? scale : q.abs().amax({-1}, true) / 127.5;
  s = at::where(s == 0, at::ones_like(s), s);
  q = q / s;
  if (zero.defined()) q.add_(zero);
  q.round_().clamp_(-128, 127);
  if (zero.defined()) q.sub_(zero);
  return q.mul_(s).to(x.scalar_type());
}

Tensor round_but_outliers(const Tensor& x, double outliers_from) {
  const Tensor f = x.to(at::kFloat), size = f.abs();
  Tensor rest = f, outliers;
  if (outliers_from > 0) {
    outliers = size.amax({-2}, true).ge(outliers_from);
    rest = f.masked_fill(outliers, 0);
  }
  Tensor s = rest.abs().amax({-1}, true) / 127.0;
  s = at::where(s == 0, at::ones_like(s), s);
  Tensor q = (rest / s).round_().mul_(s);
  if (outliers.defined()) q = at::where(outliers, f, q);
  return q.to(x.scalar_type());
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  const Tensor f = x.to(at::kFloat);
  const Tensor scale = at::rsqrt(f.square().mean({-1}, true).add_(eps));
  return (f * scale).mul_(weight).to(x.scalar_type());
}

Rope make_rope(const ModelSpec& spec, int64_t positions, at::Device device) {
  const int64_t D = spec.head_dim;
  const Tensor exponent = at::arange(0, D, 2, at::kFloat) / double(D);
  Tensor inv_freq = 1.0 / at::pow(at::Scalar(spec.rope_theta), exponent);
  if (!spec.rope_freq_factors.empty())  // llama3 scaling, from either container (formats.md 6.1)
    inv_freq = inv_freq / at::tensor(spec.rope_freq_factors, at::kFloat);
  else if (spec.rope.type == "linear")
    inv_freq = inv_freq / spec.rope.factor;
  const Tensor angles = at::outer(at::arange(positions, at::kFloat), inv_freq);
  const Tensor both = at::cat({angles, angles}, 1);
  return {both.cos().to(device), both.sin().to(device)};
}

KvCache make_cache(const ModelSpec& spec, int64_t slots, int64_t capacity, at::TensorOptions options) {
  KvCache cache{slots, capacity, {}, {}};
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    cache.k.push_back(at::zeros({slots * capacity, spec.kv_heads * spec.head_dim}, options));
    cache.v.push_back(at::zeros({slots * capacity, spec.kv_heads * spec.head_dim}, options));
  }
  return cache;
}

namespace {

bool go_on(const Observer& observer, int input, const Tensor& x) { return !observer || observer(input, x); }

}  // namespace

Tensor attention_forward(const ModelSpec& spec, const Block& block, int64_t layer, const Tensor& hidden, const Rope& rope, const Attend& attend,
                         const Observer& observer) {
  const int64_t B = hidden.size(0), T = hidden.size(1);
  const Tensor x = rms_norm(hidden, block.attn_norm, spec.rms_eps);
  if (!go_on(observer, 0, x)) return {};
  const Heads heads = project(spec, block, x, rope, attend);
  const auto [k, v] = through_cache(spec, layer, heads, attend);
  const std::optional<Tensor> mask = attend.mask.defined() ? std::optional(attend.mask) : std::nullopt;
  const bool gqa = spec.heads != spec.kv_heads;
  Tensor a = at::scaled_dot_product_attention(heads.q, k, v, mask, 0.0, !mask && attend.causal && T > 1, std::nullopt, gqa);
  a = a.transpose(1, 2).reshape({B, T, spec.heads * spec.head_dim});
  if (!go_on(observer, 1, a)) return {};
  return hidden + block.linears[3](a);
}

Tensor mlp_forward(const ModelSpec& spec, const Block& block, const Tensor& hidden, const Observer& observer) {
  const Tensor x = rms_norm(hidden, block.mlp_norm, spec.rms_eps);
  if (!go_on(observer, 2, x)) return {};
  const Tensor m = at::silu(block.linears[4](x)) * block.linears[5](x);
  if (!go_on(observer, 3, m)) return {};
  return hidden + block.linears[6](m);
}

Tensor block_forward(const ModelSpec& spec, const Block& block, int64_t layer, const Tensor& hidden, const Rope& rope, const Attend& attend,
                     const Observer& observer) {
  const Tensor out = attention_forward(spec, block, layer, hidden, rope, attend, observer);
  return out.defined() ? mlp_forward(spec, block, out, observer) : Tensor();
}

Linear load_linear(const WeightLoader& loader, const std::string& module, int64_t N, int64_t K, at::TensorOptions options) {
  Linear linear;
  const Weight weight = loader.linear(module, N, K);
  if (const auto* plain = std::get_if<Tensor>(&weight))
    linear.weight = plain->to(options);
  else
    linear.weight = decode(weight).to(options);
  const auto* packed = std::get_if<QuantTensor>(&weight);
  linear.mixed = packed && packed->spec.kind == EncodingKind::BnbInt8;
  if (packed && packed->spec.act_bits == 8) {
    linear.act_bits = 8;
    const auto part = [&](const char* name) { return packed->part(name).to(options.dtype(at::kFloat)); };
    if (packed->spec.act_static) linear.input_scale = part("input_scale");
    if (packed->spec.act_static && !packed->spec.act_symmetric) linear.input_zero = part("input_zero_point");
  }
  if (const auto bias = loader.bias(module, N)) linear.bias = bias->to(options);
  return linear;
}

Block load_block(const WeightLoader& loader, const ModelSpec& spec, int64_t layer, at::TensorOptions options) {
  const std::string prefix = layer_prefix(layer);
  const auto norm = options.dtype(at::kFloat);
  Block block;
  block.attn_norm = loader.vector(prefix + "input_layernorm.weight", spec.hidden).to(norm);
  block.mlp_norm = loader.vector(prefix + "post_attention_layernorm.weight", spec.hidden).to(norm);
  if (spec.qk_norm) {
    block.q_norm = loader.vector(prefix + "self_attn.q_norm.weight", spec.head_dim).to(norm);
    block.k_norm = loader.vector(prefix + "self_attn.k_norm.weight", spec.head_dim).to(norm);
  }
  for (size_t i = 0; i < block.linears.size(); ++i) {
    const auto [N, K] = linear_shape(spec, kLinears[i].module);
    block.linears[i] = load_linear(loader, prefix + kLinears[i].module, N, K, options);
  }
  return block;
}

}  // namespace teeny
