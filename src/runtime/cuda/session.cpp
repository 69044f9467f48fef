#include "runtime/cuda/session.h"

#include "teeny/core/error.h"

namespace teeny {
namespace {

constexpr int64_t kPrefillTokens = 8192;  // of all sequences at a time

int checked(int64_t batch) {
  if (batch > cuda::kMaxTokens)
    throw usage_error("runtime", "--batch", "{} sequences at a time are more than the {} of the GPU engine; use a smaller --batch", batch, cuda::kMaxTokens);
  return int(batch);
}

}  // namespace

GpuSession::GpuSession(const GpuModel& model, int64_t batch, int64_t capacity)
    : model_(model), batch_(batch), rope_(make_rope(model.spec, capacity, model.device)), cache_(make_gpu_cache(model, batch, capacity)),
      step_(model, cache_, rope_, checked(batch)), prefill_(model) {
  step_.slot().copy_(at::arange(batch, at::kInt));
}

void GpuSession::prefill(const Tensor& tokens) {
  const int64_t T = tokens.size(1);
  TEENY_ASSERT(tokens.size(0) == batch_ && length_ + T <= cache_.capacity);
  if (T == 1) {
    step_.token().copy_(tokens.view({batch_}).to(at::kInt));
    decode(1);
    logits_ = step_.logits();
    return;
  }
  const Tensor host = tokens.to(at::kCPU, at::kInt).contiguous();
  std::vector<Tensor> all;
  const int64_t sequences = std::max<int64_t>(1, kPrefillTokens / T);
  for (int64_t first = 0; first < batch_; first += sequences) {
    std::vector<PrefillPiece> pieces;
    for (int64_t b = first; b < std::min(batch_, first + sequences); ++b) pieces.push_back({std::span(host.const_data_ptr<int32_t>() + b * T, size_t(T)), b, length_});
    all.push_back(prefill_.last_logits(pieces, cache_, rope_));
  }
  logits_ = at::cat(all);
  step_.token().copy_(logits_.argmax(1));
  length_ += T;
}

void GpuSession::decode(int64_t steps) {
  TEENY_ASSERT(length_ + steps <= cache_.capacity);
  step_.position().fill_(length_);
  for (int64_t i = 0; i < steps; ++i) step_.run(int(batch_));
  length_ += steps;
}

void GpuSession::reset(int64_t length) {
  TEENY_ASSERT(length <= length_);
  length_ = length;
}

}  // namespace teeny
