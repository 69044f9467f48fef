// Times work on one session: warm-up, repetitions, the device drained before each reading of the clock.
#pragma once
#include <functional>

#include "bench/bench.h"

namespace teeny {

struct TimingPlan {
  int repetitions = 5, warmup = 1;
  uint64_t seed = 0;
  int64_t vocabulary = 1;  // token ids are drawn from [0, vocabulary)
};

class Timer {
 public:
  Timer(Session& session, const Clock& clock, const TimingPlan& plan, int64_t batch, EnergyMeter& meter, Context& context)
      : session_(session), clock_(clock), plan_(plan), batch_(batch), meter_(meter), context_(context) {}

  Session& session() { return session_; }
  Tensor tokens(int64_t count) const;  // (B, count) int64; the same for the same seed
  void start_at(int64_t depth);        // the cache holds `depth` tokens afterwards
  double now();                        // after the device is idle
  // Runs `once` warmup + repetitions times; `keep` is false during warm-up.
  void repeat(CaseTimes& times, const std::function<void(bool keep)>& once);

 private:
  Session& session_;
  const Clock& clock_;
  TimingPlan plan_;
  int64_t batch_;
  EnergyMeter& meter_;
  Context& context_;
};

}  // namespace teeny
