#include "runtime/cuda/step.h"

#include <algorithm>

#include "teeny/core/error.h"

namespace teeny {
namespace {

constexpr int kBuckets[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 192, 256, 320, 384};

constexpr int kReadAhead = 4;  // sequences up to which their cache is brought into L2 before an attention

int64_t padded(int64_t K) { return (K + 255) / 256 * 256; }

int attention_splits(const ModelSpec& spec, int m, int multiprocessors) {
  return std::clamp(2 * multiprocessors / std::max(1, int(spec.kv_heads) * m), 1, 32);
}

}  // namespace

int DecodeStep::bucket(int m) { return *std::lower_bound(std::begin(kBuckets), std::end(kBuckets) - 1, m); }

DecodeStep::DecodeStep(const GpuModel& model, const GpuCache& cache, const Rope& rope, int batch) : model_(model), cache_(cache), rope_(rope), batch_(batch) {
  TEENY_ASSERT(batch >= 1 && batch <= cuda::kMaxTokens);
  const auto& spec = model.spec;
  const auto floats = at::TensorOptions().dtype(at::kFloat).device(model.device), ints = floats.dtype(at::kInt), bytes = floats.dtype(at::kByte);
  token_ = at::zeros({batch}, ints), position_ = at::zeros({batch}, ints), slot_ = at::zeros({batch}, ints);
  h_ = at::zeros({batch, spec.hidden}, floats);
  qkv_ = at::zeros({batch, (spec.heads + 2 * spec.kv_heads) * spec.head_dim}, floats);
  logits_ = at::zeros({batch, spec.vocab}, floats);
  const bool unpaired = std::any_of(model.layers.begin(), model.layers.end(), [](const GpuLayer& l) { return !l.gate_up.pair; });
  if (unpaired) gate_up_ = at::zeros({batch, 2 * spec.intermediate}, floats);
  const int sms = cuda::device_facts(model.device.index()).sm_count;
  partial_ = at::empty({int64_t(batch) * (2 * sms + 1) * 128}, floats);  // a grid is cut into pieces only up to two blocks a multiprocessor
  int64_t scratch = 0;
  for (const int m : kBuckets)
    if (m <= bucket(batch)) scratch = std::max(scratch, int64_t(cuda::attend_scratch_bytes(int(spec.heads), int(spec.head_dim), m, attention_splits(spec, m, sms))));
  attend_scratch_ = at::zeros({scratch}, bytes);
  squares_ = at::zeros({2, bucket(batch), cuda::square_pieces(spec.hidden)}, floats), divisors_ = at::zeros({2, bucket(batch)}, floats);
  norms_between_ = std::none_of(model.layers.begin(), model.layers.end(), [](const GpuLayer& l) {
    const auto rounds = [](const Projection& p) { return std::any_of(p.weights.begin(), p.weights.end(), [](const PackedWeight& w) { return w.act_bits == 8; }); };
    return rounds(l.qkv) || rounds(l.o) || rounds(l.gate_up) || rounds(l.down);
  });
  pick_scratch_ = at::zeros({int64_t(cuda::pick_scratch_bytes(batch))}, bytes);
}

void DecodeStep::multiply(const Projection& p, const Bucket& bucket, const cuda::LinearCall& of_all, cudaStream_t stream) const {
  cuda::LinearCall call = of_all;
  call.partial = partial_.mutable_data_ptr<float>();
  for (const auto& w : p.weights) {
    call.x = of_all.x;
    if (w.act_bits == 8) {
      call.x.data = bucket.rounded.data_ptr();
      const auto pointer = [](const Tensor& t) { return t.defined() ? t.const_data_ptr<float>() : nullptr; };
      cuda::round_to_int8(of_all.x, call.x, call.m, w.layout.K, pointer(w.input_scale), pointer(w.input_zero), stream);
    }
    call.bias = w.bias.defined() ? w.bias.const_data_ptr<float>() : nullptr;
    cuda::packed_linear(w.view(), call, stream);
    if (call.out) call.out += w.layout.N;
    call.ahead = {};
  }
}

void DecodeStep::launch(int m, Bucket& b, cudaStream_t stream) const {
  const auto& spec = model_.spec;
  const int rows = cuda::panel_rows(m), sms = cuda::device_facts(model_.device.index()).sm_count;
  const cuda::Activations x{b.x.data_ptr(), 0, rows}, attended{b.attended.data_ptr(), 0, rows}, activated{b.activated.data_ptr(), 0, rows};
  float *h = h_.mutable_data_ptr<float>(), *qkv = qkv_.mutable_data_ptr<float>();
  const auto* position = position_.const_data_ptr<int32_t>();
  const auto* slot = slot_.const_data_ptr<int32_t>();
  const float eps = float(spec.rms_eps);
  // Two norms alternate, before attention and before the MLP: where products do the norms, each has its sums of squares and its divisor.
  enum Place { kAttention, kMlp };
  const bool between = norms_between_ && cuda::norms_between(m);
  const auto squares = [&](Place at) { return squares_[at].mutable_data_ptr<float>(); };
  const auto norm = [&](const Tensor& weight) {
    cuda::rms_norm(h, weight.const_data_ptr<float>(), eps, m, spec.hidden, x, stream, between ? squares(kAttention) : nullptr);
  };
  const auto before = [&](Place next, const Tensor& weight) -> cuda::NormBetween {  // of the product that ends before the norm
    if (!between) return {};
    return {squares(next == kMlp ? kAttention : kMlp), divisors_[next].mutable_data_ptr<float>(), eps, weight.const_data_ptr<float>(), x, squares(next)};
  };
  const auto after = [&](Place at) -> cuda::NormBetween {
    if (!between) return {};
    return {squares(at), divisors_[at].mutable_data_ptr<float>(), eps, nullptr, {}, nullptr};
  };
  const auto add = [&](const Projection& p, const cuda::Activations& in, const cuda::NormBetween& norm_ahead) {
    multiply(p, b, {in, m, nullptr, cuda::Store::Residual, h, spec.hidden, {}, nullptr, norm_ahead, {}}, stream);
  };
  const auto table = model_.embedding_table().view();
  cuda::embed(&table, nullptr, token_.const_data_ptr<int32_t>(), m, spec.hidden, h, stream);
  for (size_t i = 0; i < model_.layers.size(); ++i) {
    const auto& layer = model_.layers[i];
    const bool last = i + 1 == model_.layers.size();
    const cuda::CacheAhead ahead{cache_.layer(i), spec.kv_heads * spec.head_dim, position, slot, m <= kReadAhead ? m : 0};
    if (i == 0 || !between) norm(layer.attn_norm);
    multiply(layer.qkv, b, {x, m, nullptr, cuda::Store::Float, qkv, qkv_.size(1), {}, nullptr, i == 0 ? cuda::NormBetween{} : after(kAttention), ahead}, stream);
    cuda::attend(model_.head_shape(layer, rope_), qkv, qkv_.size(1), position, slot, m, cache_.layer(i), attention_splits(spec, m, sms), attend_scratch_.data_ptr(), attended, stream);
    add(layer.o, attended, before(kMlp, layer.mlp_norm));
    if (!between) norm(layer.mlp_norm);
    if (layer.gate_up.pair) {
      multiply(layer.gate_up, b, {x, m, nullptr, cuda::Store::SiluPair, nullptr, 0, activated, nullptr, after(kMlp), {}}, stream);
    } else {
      multiply(layer.gate_up, b, {x, m, nullptr, cuda::Store::Float, gate_up_.mutable_data_ptr<float>(), 2 * spec.intermediate, {}, nullptr, after(kMlp), {}}, stream);
      cuda::silu_multiply(gate_up_.data_ptr(), true, 2 * spec.intermediate, m, spec.intermediate, activated, stream);
    }
    add(layer.down, activated, before(kAttention, last ? model_.final_norm : model_.layers[i + 1].attn_norm));
  }
  if (!between) norm(model_.final_norm);
  const Projection head{{model_.head}, spec.vocab, spec.hidden, false};
  multiply(head, b, {x, m, nullptr, cuda::Store::Float, logits_.mutable_data_ptr<float>(), spec.vocab, {}, nullptr, after(kAttention), {}}, stream);
  cuda::pick_greedy(logits_.const_data_ptr<float>(), spec.vocab, m, token_.mutable_data_ptr<int32_t>(), position_.mutable_data_ptr<int32_t>(), nullptr, nullptr,
                    pick_scratch_.data_ptr(), stream);
}

void DecodeStep::run(int m) {
  TEENY_ASSERT(m >= 1 && m <= batch_);
  auto& bucket = buckets_[m];
  if (!bucket.graph.ready()) {
    const auto& spec = model_.spec;
    const int64_t rows = cuda::panel_rows(m), widest = padded(std::max({spec.hidden, spec.heads * spec.head_dim, spec.intermediate}));
    const auto panels = [&](int64_t K) { return at::zeros({padded(K) * rows}, at::TensorOptions().dtype(at::kHalf).device(model_.device)); };
    bucket.x = panels(spec.hidden), bucket.attended = panels(spec.heads * spec.head_dim), bucket.activated = panels(spec.intermediate), bucket.rounded = panels(widest);
    cuda::synchronize();
    bucket.graph.capture(stream_, [&](cudaStream_t stream) { launch(m, bucket, stream); });
  }
  bucket.graph.launch(nullptr);
}

}  // namespace teeny
