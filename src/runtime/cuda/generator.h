// Batched generation on the GPU: a sequence that ends leaves its slot to the next prompt, prompts are read many at a time.
#pragma once
#include "runtime/cuda/prefill.h"
#include "runtime/cuda/step.h"
#include "teeny/runtime/runner.h"

namespace teeny {

class GpuGenerator {
 public:
  using Done = std::function<void(size_t, const Completion&)>;
  GpuGenerator(const GpuModel& model, const Tokenizer& tokenizer, const std::vector<std::vector<int32_t>>& prompts, const GenerateParams& params, Context& context, const Done& done);
  std::vector<Completion> run();

 private:
  struct Sequence {
    size_t prompt = 0;
    int64_t slot = 0, position = 0, step = 0;  // position of the token to feed next
    int32_t token = 0;
    std::string bytes;                         // decoded so far, for stop strings
    Completion completion;
  };

  void fill();                                          // prompts into free slots
  void decode();                                        // one token for every active sequence
  std::vector<int32_t> choose(const Tensor& logits, const std::vector<Sequence*>& rows) const;
  bool accept(Sequence& sequence, int32_t token);       // false: the sequence has ended
  void finish(Sequence& sequence, const char* why);
  int64_t slots_that_fit() const;

  const GpuModel& model_;
  const Tokenizer& tokenizer_;
  const std::vector<std::vector<int32_t>>& prompts_;
  const GenerateParams& params_;
  Context& context_;
  const Done& done_;
  int64_t capacity_ = 0, slots_ = 0;
  Rope rope_;
  GpuCache cache_;
  std::unique_ptr<DecodeStep> step_;
  Prefill prefill_;
  size_t next_ = 0;
  std::vector<Sequence> active_;
  std::vector<int64_t> free_;
  bool changed_ = true;                                 // the device's tokens, positions and slots are not those of active_
  std::vector<Completion> results_;
};

}  // namespace teeny
