// B sequences in lock step on the GPU.
#pragma once
#include "runtime/cuda/prefill.h"
#include "runtime/cuda/step.h"
#include "teeny/runtime/runner.h"

namespace teeny {

class GpuSession : public Session {
 public:
  GpuSession(const GpuModel& model, int64_t batch, int64_t capacity);
  void prefill(const Tensor& tokens) override;
  void decode(int64_t steps) override;
  int64_t length() const override { return length_; }
  void reset(int64_t length) override;
  void synchronize() override { cuda::synchronize(); }
  Tensor logits() const { return logits_; }  // (B, V) f32 of the last position

 private:
  const GpuModel& model_;
  int64_t batch_, length_ = 0;
  Rope rope_;
  GpuCache cache_;
  DecodeStep step_;
  Prefill prefill_;
  Tensor logits_;
};

}  // namespace teeny
