// teeny quantize and teeny convert: open, plan, calibrate, write, report.
#include <ATen/Parallel.h>

#include <filesystem>

#include "pipeline/calibration_source.h"
#include "pipeline/checkpoint.h"
#include "pipeline/job.h"
#include "pipeline/mixed.h"
#include "teeny/core/error.h"
#include "teeny/family/describe.h"
#include "teeny/pipeline/pipeline.h"
#include "teeny/record/record.h"
#include "teeny/runtime/device.h"

namespace teeny {
namespace {

struct Sources {
  std::unique_ptr<TensorSource> source;
  ModelSpec spec;
};

Sources open(const std::string& path) {
  Sources s{open_source(path), {}};
  s.spec = read_spec(*s.source);
  return s;
}

bool in_block(const PlannedTensor& tensor) { return tensor.module.starts_with("model.layers."); }

Json describe(const std::string& path, bool hash) {
  const auto s = open(path);
  return describe_model(*s.source, s.spec, read_quant_config(*s.source), hash);
}

std::string model_name(const TensorSource& source) {
  auto name = model_folder_name(source.path());
  if (name.empty()) name = model_folder_name(std::filesystem::path(source.path()).parent_path().string());
  for (const char* suffix : {".gguf", ".safetensors"})
    if (name.ends_with(suffix)) name.resize(name.size() - std::string_view(suffix).size());
  return name;
}

constexpr int64_t kLaneElements = 2 << 20;  // weights that a lane of a GPU works on at once: 30 MB a lane

// The common path: everything of the plan from the source into the output.
struct Outcome {
  std::string path;
  uint64_t device_bytes = 0;
  Json tensors, fallbacks, calibration;
  std::map<std::string, double> seconds;
};

Outcome execute(const TensorSource& source, const Plan& plan, const QuantizeOptions& options, const std::string& path, Context& context, const Mixed* mixed = nullptr) {
  check_output_path(path, source, options.force);
  const WeightLoader loader(source, plan.spec);
  OutputNotes notes{options, {}, {}, 0, 0};
  Outcome outcome{path, 0, {}, {}, nullptr, {}};
  std::map<std::string, Tensor> importance;
  Calibration calibration;
  if (!options.importance.empty()) importance = read_importance(options.importance, plan.spec, notes);
  if (plan.calibrated) {
    calibration = mixed && mixed->text ? mixed->text->fit : choose_calibration(source, plan, options, context);
    outcome.calibration = calibration.json();
    std::map<std::string, Tensor> collected;
    if (plan.method == "gguf" || !options.save_importance.empty()) collected = collect_importance(source, plan.spec, calibration, context);
    if (!options.save_importance.empty()) write_importance(options.save_importance, collected, calibration);
    if (plan.method == "gguf") {
      importance = std::move(collected);
      notes.importance_file = calibration.source;
      notes.importance_dataset = calibration.source;
      notes.importance_entries = int64_t(importance.size());
      notes.importance_chunks = int64_t(calibration.windows.size());
    }
  }
  Output output(path, plan, source, notes);
  QuantizeJob job{source, plan, options, loader, output, context, std::move(importance), Json::array(), Json::array(), {}};
  if (const int device = kernel_device(context); device >= 0) job.lanes = std::make_shared<DeviceLanes>(device, kLaneElements);
  const bool block_loop = plan.calibrated && plan.method != "gguf";
  if (!block_loop) context.progress_start(plan.method == "convert" ? "convert" : "quantize", plan.tensors.size());
  for (const auto& tensor : plan.tensors) {
    context.check_interrupted();
    if (block_loop && in_block(tensor)) continue;
    write_direct(job, tensor);
    sample_memory();
    if (!block_loop) context.progress_advance();
  }
  if (!block_loop) context.progress_finish();
  if (block_loop) write_calibrated_blocks(job, calibration);
  if (loader.label_contradicted()) context.warn("gptq-label", source.path() + ": the stored zero points contradict the checkpoint_format label; the tensors are trusted");
  {
    PhaseTimer timer(job, "finish");
    output.finish();
    if (block_loop) discard_measured(output.path()), Checkpoint::discard(Checkpoint::directory_of(output.path()));
    outcome.path = output.path();
  }
  if (context.device.starts_with("cuda")) outcome.device_bytes = peak_device_memory(at::Device(context.device)) + (job.lanes ? job.lanes->device_bytes() : 0);
  outcome.tensors = std::move(job.tensors);
  outcome.fallbacks = std::move(job.fallbacks);
  outcome.seconds = std::move(job.seconds);
  return outcome;
}

Json knobs(const QuantizeOptions& o, const Plan& plan) {
  Json out = {{"granularity", plan.granularity}};
  if (plan.method == "gptq")
    out.update({{"damp", o.damp}, {"block", o.block}, {"act_order", o.act_order}, {"desc_act", o.desc_act}, {"mse", o.mse}, {"true_sequential", o.true_sequential}});
  if (!o.sparsity.empty()) out["sparsity"] = o.sparsity;
  if (plan.act_bits == 8) out.update({{"act", o.act}, {"smooth", o.smooth < 0 ? Json("searched") : Json(o.smooth)}});
  if (plan.method == "awq") out.update({{"grid", o.grid}, {"duo_scaling", o.duo_scaling}, {"clip", o.clip}});
  if (plan.calibrated) out.update({{"samples", o.samples}, {"seq_len", o.seq_len}});
  return out;
}

Json work_json(const Outcome& outcome, Json source, const std::string& device) {
  Json seconds = Json::object();
  for (const auto& [phase, value] : outcome.seconds) seconds[phase] = value;
  return {{"seconds_by_phase", seconds}, {"peak_host_bytes", peak_host_bytes()}, {"peak_anonymous_bytes", peak_anonymous_bytes()}, {"peak_device_bytes", outcome.device_bytes > 0 ? Json(outcome.device_bytes) : Json()},
          {"tensors", outcome.tensors}, {"fallbacks", outcome.fallbacks}, {"source", std::move(source)}, {"dry_run", false}, {"device", device}};
}

// Codes that were decoded and fitted anew, or rounded to 16 bits, are not what they were: said aloud, with how much.
void warn_of_losses(const Outcome& outcome, const QuantConfig& from, const Plan& plan, Context& context) {
  if (from.act_bits == 8 && plan.act_bits != 8)
    context.warn("activations-dropped", "the source rounds activations to 8 bits (W8A8); the result holds the same weights for 16-bit activations");
  if (from.method.empty() || from.method == "gguf") return;
  double sum = 0, worst = 0;
  int64_t n = 0;
  std::string name;
  for (const auto& row : outcome.tensors) {
    const double error = row["relative_error"].get<double>();
    if (!(error > 0)) continue;
    sum += error, ++n;
    if (error > worst) worst = error, name = row["name"].get<std::string>();
  }
  if (n == 0) return;
  context.warn("convert-lossy", fmt::format("{} of {} weights changed: mean relative error {:.2g}, at most {:.2g} ({}); quantize the original model instead where there is one", n,
                                            outcome.tensors.size(), sum / double(n), worst, name));
}

}  // namespace

Json run_quantize(const QuantizeOptions& options, Context& context) {
  RunRecord record("quantize", options.args, context.seed);
  at::set_num_threads(context.thread_count());
  const auto [source, spec] = open(options.model);
  if (!options.out.empty()) check_output_path(options.out, *source, options.force || options.resume);  // before measuring, which may take long
  const Mixed mixed = plan_mixed(*source, spec, options, context);
  const Plan& plan = mixed.plan;
  const std::string path = options.out.empty() ? default_output(plan, model_name(*source)) : options.out;
  Outcome outcome = execute(*source, plan, options, path, context, &mixed);
  if (mixed.seconds > 0) outcome.seconds["sensitivity"] = mixed.seconds;
  Json model = describe(outcome.path, options.hash);
  model["method"] = plan.method;
  model["granularity"] = plan.granularity;
  record.json()["model"] = model;
  Json body = work_json(outcome, describe_model(*source, spec, read_quant_config(*source), false), plan.act_bits == 8 && plan.calibrated ? "cpu" : context.device);
  body["calibration"] = outcome.calibration;
  body["options"] = knobs(options, plan);
  if (mixed.sensitivity) body["sensitivity"] = sensitivity_record(*mixed.sensitivity, plan);
  const bool held = !plan.mix || verify_mixed(*source, mixed, options, outcome.path, body["mix"], context);
  record.json()["quantize"] = body;
  record.finish(context, held ? "ok" : "check-failed");
  return record.json();
}

Json run_convert(const ConvertOptions& options, Context& context) {
  RunRecord record("convert", options.args, context.seed);
  at::set_num_threads(context.thread_count());
  const auto [source, spec] = open(options.model);
  const Plan plan = make_convert_plan(*source, spec, options);
  QuantizeOptions work;
  work.force = options.force;
  work.shard_bytes = options.shard_bytes;
  const std::string path = options.out.empty() ? default_output(plan, model_name(*source)) : options.out;
  const Outcome outcome = execute(*source, plan, work, path, context);
  record.json()["model"] = describe(outcome.path, options.hash);
  const QuantConfig from = read_quant_config(*source);
  warn_of_losses(outcome, from, plan, context);
  Json body = work_json(outcome, describe_model(*source, spec, from, false), context.device);
  body["format"] = plan.format;
  body["dtype"] = plan.dtype.empty() ? Json() : Json(plan.dtype);
  body["type"] = plan.type.empty() ? Json() : Json(plan.type);
  record.json()["convert"] = body;
  record.finish(context);
  return record.json();
}

}  // namespace teeny
