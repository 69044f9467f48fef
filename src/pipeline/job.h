// One run of quantize or convert: what every step of it needs, and what it measures on the way.
#pragma once
#include <chrono>
#include <map>

#include "pipeline/lanes.h"
#include "pipeline/output.h"
#include "teeny/encodings/encoding.h"
#include "teeny/model/loader.h"
#include "teeny/tensor/metrics.h"

namespace teeny {

struct QuantizeJob {
  const TensorSource& source;
  const Plan& plan;
  const QuantizeOptions& options;
  const WeightLoader& loader;
  Output& output;
  Context& context;
  std::map<std::string, Tensor> importance;  // canonical module -> (K) f32
  Json tensors = Json::array(), fallbacks = Json::array();
  std::map<std::string, double> seconds;
  std::shared_ptr<DeviceLanes> lanes = {};  // of a GPU, for rows that it encodes; null: the CPU does

  void record(const PlannedTensor& tensor, const ErrorSum& error, Json extra = Json::object());
};

// Adds the time from construction to destruction to seconds[phase].
class PhaseTimer {
 public:
  PhaseTimer(QuantizeJob& job, const char* phase) : job_(job), phase_(phase), start_(std::chrono::steady_clock::now()) {}
  ~PhaseTimer() { job_.seconds[phase_] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  QuantizeJob& job_;
  const char* phase_;
  std::chrono::steady_clock::time_point start_;
};

// Writes one planned tensor straight from the source: vectors, plain weights, and weights that need no calibration.
void write_direct(QuantizeJob& job, const PlannedTensor& tensor);
// Runs the model block by block on the calibration windows and writes every tensor of every block (GPTQ, AWQ).
void write_calibrated_blocks(QuantizeJob& job, const Calibration& calibration);
// E[x^2] of every linear's input, by canonical module, from the calibration windows.
std::map<std::string, Tensor> collect_importance(const TensorSource& source, const ModelSpec& spec, const Calibration& calibration, Context& context);
// llama.cpp's imatrix, in GGUF or .dat form -> E[x^2] by canonical module.
std::map<std::string, Tensor> read_importance(const std::string& path, const ModelSpec& spec, OutputNotes& notes);
// In GGUF form: sums of x^2 and the number of tokens, under llama.cpp's names.
void write_importance(const std::string& path, const std::map<std::string, Tensor>& importance, const Calibration& calibration);

}  // namespace teeny
