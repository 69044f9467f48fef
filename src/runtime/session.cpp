#include "runtime/session.h"

#include <limits>

#include "teeny/core/error.h"

namespace teeny {

LockstepSession::LockstepSession(const LoadedModel& model, int64_t batch, int64_t capacity)
    : model_(model), batch_(batch), capacity_(capacity), rope_(make_rope(model.spec, capacity, model.device)),
      cache_(make_cache(model.spec, batch, capacity, model.options())) {}

Tensor LockstepSession::forward(const Tensor& tokens) {
  const int64_t T = tokens.size(1), keys = length_ + T;
  TEENY_ASSERT(tokens.size(0) == batch_ && keys <= capacity_);
  const auto options = at::TensorOptions().dtype(at::kLong).device(model_.device);
  Attend attend;
  attend.positions = at::arange(length_, keys, options).unsqueeze(0).expand({batch_, T});
  attend.cache = &cache_;
  attend.rows = (at::arange(batch_, options).unsqueeze(1) * capacity_ + attend.positions).reshape({-1});
  attend.keys = keys;
  if (T > 1 && length_ > 0) {  // later tokens of a sequence that is already there: row t sees keys 0 .. length + t
    const Tensor hidden_key = at::arange(keys, options).unsqueeze(0).gt(at::arange(length_, keys, options).unsqueeze(1));
    attend.mask = at::zeros({T, keys}, model_.options()).masked_fill_(hidden_key, -std::numeric_limits<double>::infinity());
  }
  Tensor hidden = model_.embed(tokens.to(model_.device));
  for (int64_t layer = 0; layer < model_.spec.layers; ++layer)
    hidden = block_forward(model_.spec, model_.blocks[size_t(layer)], layer, hidden, rope_, attend);
  length_ = keys;
  return model_.logits(hidden.select(1, T - 1));
}

void LockstepSession::prefill(const Tensor& tokens) { next_ = forward(tokens).argmax(1, /*keepdim=*/true); }

void LockstepSession::decode(int64_t steps) {
  if (!next_.defined()) next_ = at::zeros({batch_, 1}, at::TensorOptions().dtype(at::kLong).device(model_.device));
  for (int64_t i = 0; i < steps; ++i) next_ = forward(next_).argmax(1, /*keepdim=*/true);
}

void LockstepSession::reset(int64_t length) {
  TEENY_ASSERT(length <= length_);
  length_ = length;
}

void LockstepSession::synchronize() {
  if (next_.defined() && model_.device.is_cuda()) next_.cpu();
}

}  // namespace teeny
