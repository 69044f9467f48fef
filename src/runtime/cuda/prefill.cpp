#include "runtime/cuda/prefill.h"

#include <numeric>

#include "teeny/core/error.h"

namespace teeny {
namespace {

constexpr int64_t kHeadRows = 16384;  // rows of the output head decoded at a time

Tensor norm(const GpuModel& model, const Tensor& h, const Tensor& weight) {
  const Tensor x = at::empty({h.size(0), h.size(1)}, h.options().dtype(at::kHalf));
  cuda::rms_norm(h.const_data_ptr<float>(), weight.const_data_ptr<float>(), float(model.spec.rms_eps), h.size(0), h.size(1), {x.data_ptr(), x.size(1), 0}, nullptr);
  return x;
}

// A pair is decoded part by part, so its rows stand in another order than the packed ones.
Tensor in_part_order(const PackedWeight& w, const Tensor& v) {
  if (!v.defined() || w.parts.size() == 1 || w.parts[0].tile_stride == 1) return v;
  return v.view({-1, int64_t(w.parts.size()), 16}).transpose(0, 1).reshape({-1});
}

Tensor to_device(const std::vector<int32_t>& v, at::Device device) { return at::tensor(v, at::kInt).to(device); }

}  // namespace

Tensor Prefill::scratch(int64_t rows, int64_t K) {
  if (!scratch_.defined() || scratch_.numel() < rows * K) {
    scratch_ = Tensor();
    scratch_ = at::empty({rows * K}, at::TensorOptions().dtype(at::kHalf).device(model_.device));
  }
  return scratch_.narrow(0, 0, rows * K).view({rows, K});
}

bool Prefill::multiply_int8(const PackedWeight& w, const Tensor& x, const Tensor& out, bool add) {
  const int64_t T = x.size(0), K = w.layout.K, N = w.layout.N;
  if (w.act_bits != 8 || w.input_zero.defined() || T <= 16 || N % 8 != 0 || !cuda::unpacks_to_int8(w.layout)) return false;  // what _int_mm takes
  const auto options = x.options();
  const Tensor tokens = at::empty({T, K}, options.dtype(at::kChar)), scale = at::empty({T}, options.dtype(at::kFloat));
  cuda::tokens_to_int8(x.data_ptr(), x.stride(0), T, K, w.input_scale.defined() ? w.input_scale.const_data_ptr<float>() : nullptr, tokens.mutable_data_ptr<int8_t>(),
                       scale.mutable_data_ptr<float>(), nullptr);
  const Tensor codes = scratch((N + 1) / 2, K).view(at::kChar).view({-1}).narrow(0, 0, N * K).view({N, K});
  int64_t row = 0;
  for (const auto& part : w.parts) {
    cuda::unpack_int8(w.view(), part.rows, part.tile0, part.tile_stride, codes.mutable_data_ptr<int8_t>() + row * K, nullptr);
    row += part.rows;
  }
  const Tensor sums = at::_int_mm(tokens, codes.t()), rows = in_part_order(w, w.row_scale), bias = in_part_order(w, w.bias);
  const bool is_float = out.scalar_type() == at::kFloat;
  for (int64_t at = 0; at < T; at += 32768)  // rows of a launch's grid
    cuda::finish_int8(sums.const_data_ptr<int32_t>() + at * N, std::min<int64_t>(32768, T - at), N, scale.const_data_ptr<float>() + at, rows.const_data_ptr<float>(),
                      bias.defined() ? bias.const_data_ptr<float>() : nullptr, is_float, add, static_cast<char*>(out.data_ptr()) + at * out.stride(0) * out.element_size(), out.stride(0),
                      nullptr);
  return true;
}

void Prefill::add_product(const Projection& p, const Tensor& x, Tensor& h) {
  if (p.weights.size() == 1 && multiply_int8(p.weights[0], x, h, true)) return;
  if (p.weights.size() == 1 && p.weights[0].act_bits == 16 && !p.weights[0].bias.defined()) {
    at::addmm_out(h, h, x, decoded(p.weights[0], p.K).t(), at::kFloat);
  } else {
    h.add_(multiply(p, x, at::kFloat));
  }
}

// Rows in the order of the parts, (N, K) f16.
Tensor Prefill::decoded(const PackedWeight& w, int64_t K) {
  const Tensor weight = scratch(w.layout.N, K);
  int64_t row = 0;
  for (size_t i = 0; i < w.parts.size(); ++i) {
    w.unpack(i, 0, w.parts[i].rows, weight.narrow(0, row, w.parts[i].rows));
    row += w.parts[i].rows;
  }
  return weight;
}

Tensor Prefill::multiply(const Projection& p, const Tensor& x, at::ScalarType type) {
  const Tensor out = at::empty({x.size(0), p.N}, x.options().dtype(type));
  int64_t column = 0;
  for (const auto& w : p.weights) {
    if (multiply_int8(w, x, out.narrow(1, column, w.layout.N), false)) {
      column += w.layout.N;
      continue;
    }
    Tensor in = x;
    if (w.act_bits == 8) in = round_to_int8(x, w.input_scale, w.input_zero);
    const Tensor weight = decoded(w, p.K);
    Tensor part = p.weights.size() == 1 ? out : at::empty({x.size(0), w.layout.N}, out.options());
    if (type == at::kFloat) at::mm_out(part, in, weight.t(), at::kFloat);
    else at::mm_out(part, in, weight.t());
    if (w.bias.defined()) {
      part.add_(in_part_order(w, w.bias));
    }
    if (p.weights.size() > 1) out.narrow(1, column, w.layout.N).copy_(part);
    column += w.layout.N;
  }
  return out;
}

Tensor Prefill::hidden(const std::vector<PrefillPiece>& pieces, const GpuCache* cache, const Rope& rope) {
  const auto& spec = model_.spec;
  std::vector<int32_t> tokens, positions, rows;
  for (const auto& piece : pieces)
    for (size_t t = 0; t < piece.tokens.size(); ++t) {
      tokens.push_back(piece.tokens[t]);
      positions.push_back(int32_t(piece.start + int64_t(t)));
      rows.push_back(cache ? int32_t(piece.slot * cache->capacity + piece.start + int64_t(t)) : int32_t(t));
    }
  const int64_t T = int64_t(tokens.size()), width = spec.kv_heads * spec.head_dim, D = spec.head_dim;
  const Tensor token = to_device(tokens, model_.device), position = to_device(positions, model_.device), row = to_device(rows, model_.device);
  const auto halves = at::TensorOptions().dtype(at::kHalf).device(model_.device);
  Tensor h = at::empty({T, spec.hidden}, halves.dtype(at::kFloat));
  Tensor attended = pieces.size() == 1 ? Tensor() : at::empty({T, spec.heads * D}, halves);
  const Tensor q = at::empty({T, spec.heads * D}, halves), activated = at::empty({T, spec.intermediate}, halves);
  Tensor own_k, own_v;
  if (!cache) own_k = at::empty({T, width}, halves), own_v = at::empty({T, width}, halves);
  const auto table = model_.embedding_table().view();
  for (int64_t at = 0; at < T; at += 32768)  // rows of a launch's grid
    cuda::embed(&table, nullptr, token.const_data_ptr<int32_t>() + at, std::min<int64_t>(32768, T - at), spec.hidden, h.mutable_data_ptr<float>() + at * spec.hidden, nullptr);
  for (size_t i = 0; i < model_.layers.size(); ++i) {
    const auto& layer = model_.layers[i];
    const Tensor qkv = multiply(layer.qkv, norm(model_, h, layer.attn_norm), at::kHalf);
    const cuda::Cache store = cache ? cache->layer(i) : cuda::Cache{own_k.data_ptr(), own_v.data_ptr(), T};
    cuda::rope_and_cache(model_.head_shape(layer, rope), qkv.data_ptr(), qkv.size(1), position.const_data_ptr<int32_t>(), row.const_data_ptr<int32_t>(), T, store, q.data_ptr(), nullptr);
    const Tensor &k = cache ? cache->k[i] : own_k, &v = cache ? cache->v[i] : own_v;
    int64_t first = 0;
    for (const auto& piece : pieces) {
      const int64_t L = int64_t(piece.tokens.size()), keys = piece.start + L, base = cache ? piece.slot * cache->capacity : 0;
      const auto heads = [&](const Tensor& t, int64_t from, int64_t count, int64_t n) { return t.narrow(0, from, count).view({1, count, n, D}).transpose(1, 2); };
      std::optional<Tensor> mask;
      if (piece.start > 0)  // row t sees keys 0 .. start + t
        mask = at::arange(keys, token.options()).unsqueeze(0).le(at::arange(piece.start, keys, token.options()).unsqueeze(1));
      const Tensor out = at::scaled_dot_product_attention(heads(q, first, L, spec.heads), heads(k, base, keys, spec.kv_heads), heads(v, base, keys, spec.kv_heads), mask, 0.0,
                                                          !mask && L > 1, std::nullopt, spec.heads != spec.kv_heads);
      const Tensor rows = out.transpose(1, 2).reshape({L, spec.heads * D});  // a view: attention writes tokens first
      if (pieces.size() == 1) attended = rows;
      else attended.narrow(0, first, L).copy_(rows);
      first += L;
    }
    add_product(layer.o, attended, h);
    const Tensor gate_up = multiply(layer.gate_up, norm(model_, h, layer.mlp_norm), at::kHalf);
    cuda::silu_multiply(gate_up.data_ptr(), false, gate_up.size(1), T, spec.intermediate, {activated.data_ptr(), spec.intermediate, 0}, nullptr);
    add_product(layer.down, activated, h);
  }
  return h;
}

Tensor Prefill::logits(const Tensor& h) {
  const auto& spec = model_.spec;
  const Tensor x = norm(model_, h, model_.final_norm), out = at::empty({h.size(0), spec.vocab}, h.options());
  for (int64_t first = 0; first < spec.vocab; first += kHeadRows) {
    const int64_t rows = std::min(kHeadRows, spec.vocab - first);
    const Tensor weight = scratch(rows, spec.hidden);
    model_.head.unpack(0, first, rows, weight);
    out.narrow(1, first, rows).copy_(at::mm(x, weight.t(), at::kFloat));
  }
  return out;
}

Tensor Prefill::last_logits(const std::vector<PrefillPiece>& pieces, const GpuCache& cache, const Rope& rope) {
  std::vector<int64_t> last;
  int64_t T = 0;
  for (const auto& piece : pieces) last.push_back((T += int64_t(piece.tokens.size())) - 1);
  return logits(hidden(pieces, &cache, rope).index_select(0, at::tensor(last, at::kLong).to(model_.device)));
}

Tensor Prefill::all_logits(std::span<const int32_t> tokens, const Rope& rope) { return logits(hidden({{tokens, 0, 0}}, nullptr, rope)); }

}  // namespace teeny
