// A model that runs: scores windows, continues prompts, and offers the bare steps that bench times. eval and bench know
// nothing below this header. B sequences, T tokens, V vocabulary.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "teeny/containers/source.h"
#include "teeny/core/context.h"
#include "teeny/family/spec.h"
#include "teeny/tensor/quant_tensor.h"
#include "teeny/text/tokenizer.h"

namespace teeny {

struct GenerateParams {
  int64_t max_new_tokens = 256;
  double temperature = 0;          // 0: greedy
  double top_p = 1;
  uint64_t seed = 0;               // sampling is keyed by (seed, prompt index, step): order and batch do not matter
  std::vector<std::string> stop;   // generation of a sequence ends when its text contains one of them
  int64_t batch = 0;               // sequences at a time; 0: chosen by the runner
  std::vector<int64_t> ends;       // tokens that end a sequence in place of the model's own; empty: the model's
  bool one_thread_a_lane = false;  // on the CPU: what is written depends on neither the thread count nor the model's size
  std::vector<uint64_t> keys;      // stand in place of the prompt index in that key; empty: the index
};

struct Completion {
  std::vector<int32_t> ids;        // new tokens, without the end-of-generation token
  std::string text;                // decoded, special tokens skipped; not cut at stop strings
  std::string finish;              // "eos", "stop", "length"
};

// B sequences in lock step with a KV cache: what bench times.
class Session {
 public:
  virtual ~Session() = default;
  virtual void prefill(const Tensor& tokens) = 0;  // (B, T) int64: appended to the cache; computes the last position's logits
  virtual void decode(int64_t steps) = 0;          // greedy, feeding back its own tokens; nothing stops early
  virtual int64_t length() const = 0;
  virtual void reset(int64_t length = 0) = 0;      // forget everything after `length`
  virtual void synchronize() = 0;                  // wait for the device
};

class Runner {
 public:
  virtual ~Runner() = default;
  virtual const ModelSpec& spec() const = 0;
  virtual const Tokenizer& tokenizer() const = 0;
  virtual const QuantConfig& quant() const = 0;
  virtual const TensorSource& source() const = 0;
  // Each window alone, from position 0: visit(index, logits (T, V) f32 on the device). Windows run in parallel on the
  // CPU (each on one thread, so results depend on neither the thread count nor the batch); visit must be thread-safe.
  virtual void score(const std::vector<std::vector<int32_t>>& windows, const std::function<void(size_t, const Tensor&)>& visit, Context& context) = 0;
  // done(index, completion) is called as soon as each sequence ends (from one thread at a time); results in prompt order.
  virtual std::vector<Completion> generate(const std::vector<std::vector<int32_t>>& prompts, const GenerateParams& params, Context& context,
                                           const std::function<void(size_t, const Completion&)>& done = {}) = 0;
  virtual std::unique_ptr<Session> open_session(int64_t batch, int64_t capacity) = 0;
  // Weight bytes that one decode step of one sequence reads, and multiply-adds of one token's linears: for rooflines.
  virtual uint64_t decode_bytes() const = 0;
  virtual uint64_t macs_per_token() const = 0;
  virtual uint64_t weight_bytes_resident() const = 0;  // as held in memory
  virtual std::string weights_note() const = 0;        // "decoded once to f32": how the weights are held
  virtual uint64_t peak_device_bytes() const = 0;      // 0 on the CPU
};

// act_bits: 0 runs W8A8 checkpoints with 8-bit activations and all others with 16; 8 asks for LLM.int8's mixed products too
// (their threshold is the checkpoint's llm_int8_threshold); 16 is weights only. Usage error: 8 for other checkpoints.
// gpu_layers: a count of layers whose weights live on the GPU; those of the others stay in host memory, where the GPU reads
// them over the bus as it computes. "all", or "auto": as many as fit. Device error: a count above 0 without a GPU.
struct LoadOptions {
  int act_bits = 0;
  std::string gpu_layers = "auto";
};

// Loads the model at `source` (owned by the runner). Weights are streamed: one tensor at a time is held twice.
std::unique_ptr<Runner> load_runner(std::unique_ptr<TensorSource> source, Context& context, const LoadOptions& options = {});

}  // namespace teeny
