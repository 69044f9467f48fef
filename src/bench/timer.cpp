#include "bench/timer.h"

#include <algorithm>

namespace teeny {

Tensor Timer::tokens(int64_t count) const {
  Tensor out = at::empty({batch_, count}, at::kLong);
  int64_t* ids = out.mutable_data_ptr<int64_t>();
  uint64_t state = plan_.seed * 0x9e3779b97f4a7c15ull + 1;  // splitmix64
  for (int64_t i = 0; i < batch_ * count; ++i) {
    uint64_t z = (state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    ids[i] = int64_t((z ^ (z >> 31)) % uint64_t(std::max<int64_t>(1, plan_.vocabulary)));
  }
  return out;
}

void Timer::start_at(int64_t depth) {
  constexpr int64_t kPiece = 512;  // so that filling a deep cache needs no more memory than the prompts that are timed
  if (session_.length() > depth) session_.reset(depth);
  while (session_.length() < depth) {
    context_.check_interrupted();
    session_.prefill(tokens(std::min(kPiece, depth - session_.length())));
  }
}

double Timer::now() {
  session_.synchronize();
  return clock_();
}

void Timer::repeat(CaseTimes& times, const std::function<void(bool keep)>& once) {
  for (int i = 0; i < plan_.warmup + plan_.repetitions; ++i) {
    context_.check_interrupted();
    if (i == plan_.warmup) {
      session_.synchronize();
      meter_.start();
    }
    once(i >= plan_.warmup);
    context_.progress_advance();
  }
  session_.synchronize();
  times.joules = meter_.joules();
}

}  // namespace teeny
