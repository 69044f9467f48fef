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
  pick_scratch_ = at::zeros({int64_t(cuda::pick_scratch_bytes(batch))}, bytes);
}

void DecodeStep::multiply(const PackedWeight& w, const cuda::Activations& x, const Bucket& bucket, int m, cuda::Store store, float* out, int64_t ldo,
                          const cuda::Activations& out16, cudaStream_t stream) const {
  cuda::Activations in = x;
  if (w.act_bits == 8) {
    in.data = bucket.rounded.data_ptr();
    const auto pointer = [](const Tensor& t) { return t.defined() ? t.const_data_ptr<float>() : nullptr; };
    cuda::round_to_int8(x, in, m, w.layout.K, pointer(w.input_scale), pointer(w.input_zero), stream);
  }
  cuda::packed_linear(w.view(), {in, m, w.bias.defined() ? w.bias.const_data_ptr<float>() : nullptr, store, out, ldo, out16, partial_.mutable_data_ptr<float>()}, stream);
}

void DecodeStep::multiply(const Projection& p, const cuda::Activations& x, const Bucket& bucket, int m, cuda::Store store, float* out, int64_t ldo,
                          const cuda::Activations& out16, cudaStream_t stream) const {
  int64_t row = 0;
  for (const auto& w : p.weights) {
    multiply(w, x, bucket, m, store, out ? out + row : nullptr, ldo, out16, stream);
    row += w.layout.N;
  }
}

void DecodeStep::launch(int m, Bucket& b, cudaStream_t stream) const {
  const auto& spec = model_.spec;
  const int rows = cuda::panel_rows(m), sms = cuda::device_facts(model_.device.index()).sm_count;
  const cuda::Activations x{b.x.data_ptr(), 0, rows}, attended{b.attended.data_ptr(), 0, rows}, activated{b.activated.data_ptr(), 0, rows};
  float *h = h_.mutable_data_ptr<float>(), *qkv = qkv_.mutable_data_ptr<float>();
  const auto norm = [&](const Tensor& weight, const cuda::CacheAhead& ahead = {}) { cuda::rms_norm(h, weight.const_data_ptr<float>(), float(spec.rms_eps), m, spec.hidden, x, stream, ahead); };
  const auto table = model_.embedding_table().view();
  cuda::embed(&table, nullptr, token_.const_data_ptr<int32_t>(), m, spec.hidden, h, stream);
  for (size_t i = 0; i < model_.layers.size(); ++i) {
    const auto& layer = model_.layers[i];
    norm(layer.attn_norm, {cache_.layer(i), spec.kv_heads * spec.head_dim, position_.const_data_ptr<int32_t>(), slot_.const_data_ptr<int32_t>(), m <= kReadAhead ? m : 0});
    multiply(layer.qkv, x, b, m, cuda::Store::Float, qkv, qkv_.size(1), {}, stream);
    cuda::attend(model_.head_shape(layer, rope_), qkv, qkv_.size(1), position_.const_data_ptr<int32_t>(), slot_.const_data_ptr<int32_t>(), m, cache_.layer(i),
                 attention_splits(spec, m, sms), attend_scratch_.data_ptr(), attended, stream);
    multiply(layer.o, attended, b, m, cuda::Store::Residual, h, spec.hidden, {}, stream);
    norm(layer.mlp_norm);
    if (layer.gate_up.pair) {
      multiply(layer.gate_up, x, b, m, cuda::Store::SiluPair, nullptr, 0, activated, stream);
    } else {
      multiply(layer.gate_up, x, b, m, cuda::Store::Float, gate_up_.mutable_data_ptr<float>(), 2 * spec.intermediate, {}, stream);
      cuda::silu_multiply(gate_up_.data_ptr(), true, 2 * spec.intermediate, m, spec.intermediate, activated, stream);
    }
    multiply(layer.down, activated, b, m, cuda::Store::Residual, h, spec.hidden, {}, stream);
  }
  norm(model_.final_norm);
  multiply(model_.head, x, b, m, cuda::Store::Float, logits_.mutable_data_ptr<float>(), spec.vocab, {}, stream);
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
