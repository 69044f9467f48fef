// B sequences in lock step: the bare prefill and decode that bench times, and the reference for batched generation.
#pragma once
#include "runtime/loaded_model.h"
#include "teeny/runtime/runner.h"

namespace teeny {

class LockstepSession : public Session {
 public:
  LockstepSession(const LoadedModel& model, int64_t batch, int64_t capacity);
  void prefill(const Tensor& tokens) override;
  void decode(int64_t steps) override;
  int64_t length() const override { return length_; }
  void reset(int64_t length) override;
  void synchronize() override;
  Tensor forward(const Tensor& tokens);  // (B, T) -> logits of the last position (B, V)

 private:
  const LoadedModel& model_;
  int64_t batch_, capacity_, length_ = 0;
  Rope rope_;
  KvCache cache_;
  Tensor next_;  // (B, 1)
};

}  // namespace teeny
