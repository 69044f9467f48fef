#include "runtime/cuda/prefill.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "teeny/core/error.h"

namespace teeny {
namespace {

constexpr int64_t kHeadRows = 16384;  // rows of the output head decoded at a time
constexpr int64_t kFewRows = 16;      // up to which the packed head is multiplied as a decoding step does

cudaStream_t current_stream(at::Device device) { return static_cast<cudaStream_t>(c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle()); }

Tensor norm(const GpuModel& model, const Tensor& h, const Tensor& weight) {
  const Tensor x = at::empty({h.size(0), h.size(1)}, h.options().dtype(at::kHalf));
  cuda::rms_norm(h.const_data_ptr<float>(), weight.const_data_ptr<float>(), float(model.spec.rms_eps), h.size(0), h.size(1), {x.data_ptr(), x.size(1), 0}, current_stream(model.device));
  return x;
}

// (1, heads, L, D) queries, (1, kv heads, keys, D); the last L keys are the queries' own positions. cuDNN, which libtorch prefers, is the
// faster one for long prompts (H200, 40 heads, 2,048 tokens: 100 us for 191), but plans anew for every length, which takes 40 ms and the
// first time 900. So it is for lengths that come again, windows and chunks.
Tensor causal_attention(const Tensor& q, const Tensor& k, const Tensor& v) {
  const int64_t L = q.size(2), keys = k.size(2), D = q.size(3);
  const bool comes_again = keys == L && L >= 1024 && L % 256 == 0;
  if (D % 8 == 0 && D <= 256 && !comes_again) return std::get<0>(at::_scaled_dot_product_flash_attention(q, k, v, 0.0, true));  // (where keys > L, of the last L)
  std::optional<Tensor> mask;
  if (keys > L) mask = at::arange(keys, q.options().dtype(at::kInt)).unsqueeze(0).le(at::arange(keys - L, keys, q.options().dtype(at::kInt)).unsqueeze(1));
  return at::scaled_dot_product_attention(q, k, v, mask, 0.0, !mask && L > 1, std::nullopt, q.size(1) != k.size(1));
}

// Everything inside runs on `stream`, after what the current stream holds now; what comes after it there waits for it.
class OnStream {
 public:
  explicit OnStream(const c10::Stream& stream) : outer_(c10::impl::VirtualGuardImpl(stream.device_type()).getStream(stream.device())), guard_(stream) {
    pass(outer_, stream);
  }
  ~OnStream() {
    try {
      pass(guard_.current_stream(), outer_);
    } catch (const std::exception&) {  // a device that fails here fails at the next call too
    }
  }
  OnStream(const OnStream&) = delete;
  OnStream& operator=(const OnStream&) = delete;

 private:
  static void pass(const c10::Stream& from, const c10::Stream& to) {
    c10::Event event{from.device_type()};
    event.record(from);
    event.block(to);
  }
  c10::Stream outer_;
  c10::StreamGuard guard_;
};

// A pair is decoded part by part, so its rows stand in another order than the packed ones.
Tensor in_part_order(const PackedWeight& w, const Tensor& v) {
  if (!v.defined() || w.parts.size() == 1 || w.parts[0].tile_stride == 1) return v;
  return v.view({-1, int64_t(w.parts.size()), 16}).transpose(0, 1).reshape({-1});
}

// (N) f32 in the order of a projection's rows, or undefined.
Tensor joined_bias(const Projection& p) {
  if (p.weights.size() == 1) return in_part_order(p.weights[0], p.weights[0].bias);
  std::vector<Tensor> all;
  bool any = false;
  for (const auto& w : p.weights) {
    any = any || w.bias.defined();
    all.push_back(w.bias.defined() ? in_part_order(w, w.bias) : at::zeros({w.layout.N}, w.storage.options().dtype(at::kFloat)));
  }
  return any ? at::cat(all) : Tensor();
}

const float* bias_of(const PackedWeight& w) { return w.bias.defined() ? w.bias.const_data_ptr<float>() : nullptr; }

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
  const auto stream = current_stream(model_.device);
  const auto options = x.options();
  const Tensor tokens = at::empty({T, K}, options.dtype(at::kChar)), scale = at::empty({T}, options.dtype(at::kFloat));
  cuda::tokens_to_int8(x.data_ptr(), x.stride(0), T, K, w.input_scale.defined() ? w.input_scale.const_data_ptr<float>() : nullptr, tokens.mutable_data_ptr<int8_t>(),
                       scale.mutable_data_ptr<float>(), stream);
  const Tensor codes = scratch((N + 1) / 2, K).view(at::kChar).view({-1}).narrow(0, 0, N * K).view({N, K});
  int64_t row = 0;
  for (const auto& part : w.parts) {
    cuda::unpack_int8(w.view(), part.rows, part.tile0, part.tile_stride, codes.mutable_data_ptr<int8_t>() + row * K, stream);
    row += part.rows;
  }
  const Tensor sums = at::_int_mm(tokens, codes.t()), rows = in_part_order(w, w.row_scale), bias = in_part_order(w, w.bias);
  cuda::finish_int8(sums.const_data_ptr<int32_t>(), T, N, scale.const_data_ptr<float>(), rows.const_data_ptr<float>(), bias.defined() ? bias.const_data_ptr<float>() : nullptr,
                    out.scalar_type() == at::kFloat, add, out.data_ptr(), out.stride(0), stream);
  return true;
}

// One after another, each of its own format: weights whose inputs are rounded to int8.
Tensor Prefill::multiply_rounded(const Projection& p, const Tensor& x, at::ScalarType type) {
  const Tensor out = at::empty({x.size(0), p.N}, x.options().dtype(type));
  int64_t column = 0;
  for (const auto& w : p.weights) {
    const Tensor part = out.narrow(1, column, w.layout.N);
    column += w.layout.N;
    if (multiply_int8(w, x, part, false)) continue;
    const Tensor in = w.act_bits == 8 ? round_to_int8(x, w.input_scale, w.input_zero) : x, weight = scratch(w.layout.N, p.K);
    int64_t row = 0;
    for (size_t i = 0; i < w.parts.size(); ++i) {
      w.unpack(i, 0, w.parts[i].rows, weight.narrow(0, row, w.parts[i].rows), current_stream(model_.device));
      row += w.parts[i].rows;
    }
    const Tensor product = type == at::kFloat ? at::mm(in, weight.t(), at::kFloat) : at::mm(in, weight.t());
    part.copy_(w.bias.defined() ? product.add(in_part_order(w, w.bias)) : product);
  }
  return out;
}

// f16, without its bias.
Tensor Prefill::multiply(size_t layer, Place place, const Tensor& x) {
  const Projection& p = AheadDecoder::projection(model_.layers[layer], place);
  const Tensor out = at::mm(x, ahead_.weight(p, place).t());
  ahead_.done(layer, place);
  return out;
}

ProductInput Prefill::input(const Projection& p, int64_t T) const {
  const auto halves = at::TensorOptions().dtype(at::kHalf).device(model_.device);
  if (!p.multiplies_large()) {
    const Tensor rows = at::empty({T, p.K}, halves);
    return {rows, {rows.data_ptr(), p.K, 0}};
  }
  const int panel_rows = cuda::large_panel_rows(int(T));
  int64_t columns = p.K;
  for (const auto& w : p.weights) columns = std::max(columns, w.layout.padded_columns());
  const Tensor panels = columns == p.K ? at::empty({columns * panel_rows}, halves) : at::zeros({columns * panel_rows}, halves);
  return {panels, {panels.data_ptr(), 0, panel_rows}};
}

ProductInput Prefill::norm_input(const Projection& p, const Tensor& h, const Tensor& weight) const {
  ProductInput x = input(p, h.size(0));
  cuda::rms_norm(h.const_data_ptr<float>(), weight.const_data_ptr<float>(), float(model_.spec.rms_eps), h.size(0), h.size(1), x.view, current_stream(model_.device));
  return x;
}

ProductInput Prefill::attention_input(const Projection& p, const Tensor& attended) const {
  if (!p.multiplies_large()) return {attended, {attended.data_ptr(), attended.size(1), 0}};
  ProductInput x = input(p, attended.size(0));
  cuda::to_panels(attended.const_data_ptr(), attended.stride(0), int(attended.size(0)), p.K, x.view, current_stream(model_.device));
  return x;
}

// (T, N) f16 with its bias, weights one after another.
Tensor Prefill::large_product(const Projection& p, const ProductInput& x, int64_t T) const {
  const Tensor out = at::empty({T, p.N}, x.data.options());
  int64_t column = 0;
  for (const auto& w : p.weights) {
    cuda::packed_linear_large(w.view(), {x.view, int(T), bias_of(w), cuda::Store::Half, nullptr, 0, {out.mutable_data_ptr<at::Half>() + column, p.N, 0}, nullptr}, current_stream(model_.device));
    column += w.layout.N;
  }
  return out;
}

void Prefill::add_product(size_t layer, Place place, const ProductInput& input, Tensor& h) {
  const Projection& p = AheadDecoder::projection(model_.layers[layer], place);
  if (p.multiplies_large()) {
    const auto& w = p.weights[0];
    return cuda::packed_linear_large(w.view(), {input.view, int(h.size(0)), bias_of(w), cuda::Store::Residual, h.mutable_data_ptr<float>(), h.size(1), {}, nullptr}, current_stream(model_.device));
  }
  const Tensor& x = input.data;
  if (!AheadDecoder::takes(p)) {
    if (p.weights.size() != 1 || !multiply_int8(p.weights[0], x, h, true)) h.add_(multiply_rounded(p, x, at::kFloat));
    return;
  }
  at::addmm_out(h, h, x, ahead_.weight(p, place).t(), at::kFloat);
  ahead_.done(layer, place);
  if (const Tensor bias = joined_bias(p); bias.defined()) h.add_(bias);
}

// q, k and v as the rotary positions read them: the product, and what they add to it.
std::pair<Tensor, Tensor> Prefill::qkv(size_t layer, const ProductInput& input, int64_t T) {
  const Projection& p = model_.layers[layer].qkv;
  const Tensor& x = input.data;
  if (p.multiplies_large()) return {large_product(p, input, T), Tensor()};
  if (!AheadDecoder::takes(p)) return {multiply_rounded(p, x, at::kHalf), Tensor()};
  return {multiply(layer, Place::Qkv, x), joined_bias(p)};
}

// In the order of its parts, one after another.
Tensor Prefill::gate_up(size_t layer, const Tensor& x) {
  const Projection& p = model_.layers[layer].gate_up;
  if (!AheadDecoder::takes(p)) return multiply_rounded(p, x, at::kHalf);
  Tensor out = multiply(layer, Place::GateUp, x);
  if (const Tensor bias = joined_bias(p); bias.defined()) out.add_(bias);
  return out;
}

ProductInput Prefill::activated(size_t layer, const ProductInput& x, int64_t T) {
  const auto& of = model_.layers[layer];
  const auto stream = current_stream(model_.device);
  ProductInput out = input(of.down, T);
  if (of.gate_up.multiplies_large() && of.gate_up.pair) {
    const auto& w = of.gate_up.weights[0];
    cuda::packed_linear_large(w.view(), {x.view, int(T), bias_of(w), cuda::Store::SiluPair, nullptr, 0, out.view, nullptr}, stream);
    return out;
  }
  const Tensor both = of.gate_up.multiplies_large() ? large_product(of.gate_up, x, T) : gate_up(layer, x.data);
  cuda::silu_multiply(both.data_ptr(), false, both.size(1), T, model_.spec.intermediate, out.view, stream);
  return out;
}

Tensor Prefill::hidden(const std::vector<PrefillPiece>& pieces, const GpuCache* cache, const Rope& rope) {
  const auto& spec = model_.spec;
  const OnStream on(ahead_.products());
  const auto stream = ahead_.raw_products();
  ahead_.start();
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
  const Tensor q = at::empty({T, spec.heads * D}, halves);
  Tensor own_k, own_v;
  if (!cache) own_k = at::empty({T, width}, halves), own_v = at::empty({T, width}, halves);
  const auto table = model_.embedding_table().view();
  cuda::embed(&table, nullptr, token.const_data_ptr<int32_t>(), T, spec.hidden, h.mutable_data_ptr<float>(), stream);
  for (size_t i = 0; i < model_.layers.size(); ++i) {
    const auto& layer = model_.layers[i];
    const auto [heads_in, bias] = qkv(i, norm_input(layer.qkv, h, layer.attn_norm), T);
    const cuda::Cache store = cache ? cache->layer(i) : cuda::Cache{own_k.data_ptr(), own_v.data_ptr(), T};
    cuda::rope_and_cache(model_.head_shape(layer, rope), heads_in.data_ptr(), heads_in.size(1), bias.defined() ? bias.const_data_ptr<float>() : nullptr, position.const_data_ptr<int32_t>(), row.const_data_ptr<int32_t>(), T, store, q.data_ptr(), stream);
    const Tensor &k = cache ? cache->k[i] : own_k, &v = cache ? cache->v[i] : own_v;
    int64_t first = 0;
    for (const auto& piece : pieces) {
      const int64_t L = int64_t(piece.tokens.size()), keys = piece.start + L, base = cache ? piece.slot * cache->capacity : 0;
      const auto heads = [&](const Tensor& t, int64_t from, int64_t count, int64_t n) { return t.narrow(0, from, count).view({1, count, n, D}).transpose(1, 2); };
      const Tensor out = causal_attention(heads(q, first, L, spec.heads), heads(k, base, keys, spec.kv_heads), heads(v, base, keys, spec.kv_heads));
      const Tensor rows = out.transpose(1, 2).reshape({L, spec.heads * D});  // a view: attention writes tokens first
      if (pieces.size() == 1) attended = rows;
      else attended.narrow(0, first, L).copy_(rows);
      first += L;
    }
    add_product(i, Place::O, attention_input(layer.o, attended), h);
    add_product(i, Place::Down, activated(i, norm_input(layer.gate_up, h, layer.mlp_norm), T), h);
  }
  return h;
}

Tensor Prefill::logits(const Tensor& h) {
  const auto& spec = model_.spec;
  const auto stream = current_stream(model_.device);
  const int64_t m = h.size(0);
  const Tensor out = at::empty({m, spec.vocab}, h.options());
  if (m <= kFewRows) {  // the head as it is packed: read once, not decoded first
    const int panels = cuda::panel_rows(int(m));
    const Tensor x = at::zeros({int64_t(cuda::Activations::panel_bytes(model_.head.layout.padded_columns(), panels))}, h.options().dtype(at::kByte));
    const cuda::Activations in{x.data_ptr(), 0, panels};
    cuda::rms_norm(h.const_data_ptr<float>(), model_.final_norm.const_data_ptr<float>(), float(spec.rms_eps), m, spec.hidden, in, stream);
    cuda::packed_linear(model_.head.view(), {in, int(m), nullptr, cuda::Store::Float, out.mutable_data_ptr<float>(), spec.vocab, {}, nullptr}, stream);
    return out;
  }
  const Tensor x = norm(model_, h, model_.final_norm);
  for (int64_t first = 0; first < spec.vocab; first += kHeadRows) {
    const int64_t rows = std::min(kHeadRows, spec.vocab - first);
    const Tensor weight = scratch(rows, spec.hidden);
    model_.head.unpack(0, first, rows, weight, stream);
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
