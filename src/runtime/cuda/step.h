// One decoding step of up to `batch` sequences: embedding to the next token, our own kernels only, replayed as a CUDA
// graph. Tokens, positions and slots live on the device, so one graph serves every step.
#pragma once
#include <map>

#include "runtime/cuda/model.h"

namespace teeny {

class DecodeStep {
 public:
  // `rope` has a row for every position of the cache. Both outlive the step.
  DecodeStep(const GpuModel& model, const GpuCache& cache, const Rope& rope, int batch);
  // Rows 0 .. m of token(), position() and slot() decode one token each; then token() holds the most likely next one and
  // position() is one further, logits() holds row i's logits.
  void run(int m);
  static int bucket(int m);             // the number of rows that run(bucket(m)) is fast for, >= m; m <= kMaxTokens
  Tensor token() const { return token_; }        // (batch) int32
  Tensor position() const { return position_; }  // (batch) int32
  Tensor slot() const { return slot_; }          // (batch) int32
  Tensor logits() const { return logits_; }      // (batch, V) f32
  int batch() const { return batch_; }

 private:
  struct Bucket {                       // what depends on the number of rows
    Tensor x, attended, activated, rounded;  // panels
    cuda::Graph graph;
  };
  void launch(int m, Bucket& bucket, cudaStream_t stream) const;
  void multiply(const Projection& p, const Bucket& bucket, const cuda::LinearCall& call, cudaStream_t stream) const;  // `call`: without a bias, `out` of all rows

  const GpuModel& model_;
  const GpuCache& cache_;
  const Rope& rope_;
  int batch_;
  Tensor token_, position_, slot_, h_, qkv_, gate_up_, logits_, partial_, attend_scratch_, pick_scratch_, squares_, divisors_;
  bool norms_between_;  // where kernels can (cuda::norms_between), norms are done by the products around them
  cuda::Stream stream_;
  std::map<int, Bucket> buckets_;
};

}  // namespace teeny
