// Batched generation with a fixed number of slots: a sequence that ends leaves its slot to the next prompt.
#pragma once
#include <atomic>
#include <mutex>

#include "runtime/loaded_model.h"
#include "teeny/runtime/runner.h"

namespace teeny {

class Generator {
 public:
  using Done = std::function<void(size_t, const Completion&)>;
  Generator(const LoadedModel& model, const Tokenizer& tokenizer, const std::vector<std::vector<int32_t>>& prompts, const GenerateParams& params,
            Context& context, const Done& done);
  std::vector<Completion> run();

 private:
  struct Slot {
    int64_t prompt = -1;     // -1: idle
    int64_t position = 0;    // of the next token
    int64_t step = 0;
    int32_t token = 0;       // the token to feed next
    std::string bytes;       // decoded so far, for stop strings
    Completion completion;
  };
  struct Lane {  // one thread's share: its own slots and cache
    std::vector<Slot> slots;
    KvCache cache;
  };

  void run_lane(Lane& lane);
  bool fill(Lane& lane, size_t slot);                // next prompt into the slot; false when none is left
  Tensor prefill(Lane& lane, size_t slot, const std::vector<int32_t>& prompt);  // logits (V)
  Tensor step(Lane& lane);                           // logits (slots, V)
  void accept(Lane& lane, size_t slot, int32_t token);
  void finish(Slot& slot, const char* why);
  int32_t choose(const Tensor& logits, const Slot& slot) const;
  int64_t slots_per_lane() const;

  const LoadedModel& model_;
  const Tokenizer& tokenizer_;
  const std::vector<std::vector<int32_t>>& prompts_;
  const GenerateParams& params_;
  Context& context_;
  const Done& done_;
  Rope rope_;
  int64_t capacity_ = 0;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  std::vector<Completion> results_;
};

}  // namespace teeny
