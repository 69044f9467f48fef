// The facade between the executable and the engine (libteeny_engine.so, which links libtorch): plain option structs in,
// a result record (JSON) out. The library is opened on the first call, so commands that compute nothing never pay for it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "teeny/core/context.h"
#include "teeny/core/json.h"

namespace teeny {

struct CommonOptions {
  std::vector<std::string> args;  // the command line, for the record
  std::string model;              // path, after resolution of the default
  bool hash = false;              // sha256 of the model's files into the record
  std::string isa;                // empty: the best instruction set of this CPU
  std::string gpu_layers = "auto";  // "auto", "all" or a count
  int tensor_parallel = 1;        // GPUs that share every layer
};

struct QuantizeOptions : CommonOptions {
  std::string method = "gptq", format, type, granularity = "group", out;
  int bits = 0;                        // 0: the method's default
  int64_t group = 128;
  bool granularity_typed = false;      // granularity or group were asked for: what cannot hold them is refused, not adapted
  std::optional<bool> symmetric;       // unset: the method's default
  std::string calibration;             // empty: the model's default
  int64_t samples = 128, seq_len = 2048;
  std::string importance, save_importance, recipe;
  bool desc_act = false, mse = true, true_sequential = true, clip = true, duo_scaling = true;
  bool act_order = true;               // GPTQ: process columns by falling diag(H), groups fixed beforehand (static)
  double damp = 0.01;
  int64_t block = 128;
  int64_t search_rows = 1024;  // of a weight, which AWQ's search of scales looks at
  int grid = 20;
  uint64_t shard_bytes = 0;            // most tensor bytes a file; 0: 5 GB of safetensors, one GGUF file
  bool force = false, dry_run = false, allow_nonfinite = false, exact_llama_cpp = false;
  bool resume = false;
  int act_bits = 16;                   // 8: quantized activations (W8A8)
  std::string act = "dynamic";         // or "static"; only with act_bits 8
  double smooth = -1;                  // SmoothQuant's alpha; negative: off
  std::string sparsity;                // "0.5", "2:4"; empty: none
  double target_bpw = -1, max_ppl_increase = -1;  // mixed precision; negative: not asked for
  uint64_t target_bytes = 0;                      // 0: not asked for
  std::string sensitivity, save_sensitivity;      // files of measured sensitivities: used, written
  std::vector<std::string> candidates;            // types ("Q4_K") or bits ("4") that a target may choose; empty: all
};

struct ConvertOptions : CommonOptions {
  std::string format, dtype, type, out;
  uint64_t shard_bytes = 0;
  bool force = false, dry_run = false;
};

struct BenchOptions : CommonOptions {
  std::vector<int64_t> prompt{512}, generate{128}, depth{0}, batch{1};
  int repetitions = 5, warmup = 1, act_bits = 0;  // act_bits: 0 as the checkpoint runs, LLM.int8 with weights only; 8, 16
  std::string hardware, baseline;
  double fail_if_slower = -1;
};

struct EvalOptions : CommonOptions {
  std::vector<std::string> also;         // further models, measured in the same pass over text and reference
  std::string reference, text, data, save_completions, score_completions, protocol;
  std::string ppl_protocol = "windows";  // or "llama.cpp"
  bool resume = false;                   // take up what an interrupted run had generated
  double equivalence_margin = -1;        // points; below 0: no test of equivalence
  std::vector<std::string> tasks, languages;
  int64_t ctx = 512, max_new_tokens = 0, samples_per_task = 1, batch = 0, limit = 0;
  std::vector<int64_t> pass_at{1};
  double temperature = 0, timeout = 0, fail_if_loss = -1, require_loss_below = -1;
  bool accept_unsandboxed = false;
  int act_bits = 0;                      // of the model, as in BenchOptions
};

struct GenerateOptions : CommonOptions {
  std::string prompt;
  bool chat = false;
  int act_bits = 0;                      // as in BenchOptions
  int64_t max_new_tokens = 256;
  double temperature = 0.7, top_p = 0.95;
};

// Each call returns the finished record (docs/result.schema.json). A requested check that failed (--fail-if-loss ...) is
// a record with status "check-failed" and a warning of code "check-failed" that says what and by how much: the record is
// printed and kept, then the command exits 5. `model` of quantize and convert is what was written, model.path where. A
// record of eval with several models is the first one's; its `variants` are the complete records of the others.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual Json quantize(const QuantizeOptions& options, Context& context) = 0;
  virtual Json convert(const ConvertOptions& options, Context& context) = 0;
  virtual Json bench(const BenchOptions& options, Context& context) = 0;
  virtual Json eval(const EvalOptions& options, Context& context) = 0;
  virtual Json generate(const GenerateOptions& options, Context& context) = 0;
  virtual Json verify(const CommonOptions& options, Context& context) = 0;  // inspect --verify
  virtual Json devices(Context& context) = 0;                              // doctor: what the engine can run on
};

// Opens libteeny_engine.so beside the executable (or in ../lib/teeny). Throws Device when it is missing or cannot load.
Engine& load_engine();

}  // namespace teeny
