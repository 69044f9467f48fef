#include "pipeline/mixed.h"

#include <chrono>
#include <cmath>
#include <filesystem>

#include "pipeline/calibration_source.h"
#include "pipeline/checkpoint.h"
#include "pipeline/divergence.h"
#include "pipeline/job.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/core/version.h"

namespace teeny {
namespace {

constexpr const char* kKept = "sensitivity.json";

// Everything that the measured numbers depend on.
std::string measuring_key(const TensorSource& source, const Plan& base, const QuantizeOptions& o, const Calibration& calibration) {
  const Json key = {{"source", weights_fingerprint(source)}, {"plan", plan_json(base)}, {"calibration", calibration.json()}, {"version", version_info().version},
                    {"seq_len", o.seq_len}, {"damp", o.damp}, {"block", o.block}, {"act_order", o.act_order}, {"desc_act", o.desc_act}, {"mse", o.mse}, {"nonfinite", o.allow_nonfinite},
                    {"importance", o.importance.empty() ? "" : sha256_file(o.importance)}, {"candidates", o.candidates}};
  return sha256_hex(dump_json(key));
}

// What an interrupted run with these options had measured.
std::optional<Sensitivity> kept(const std::string& directory, const std::string& key) {
  const std::string path = path_join(directory, kKept);
  if (!path_exists(path)) return {};
  const Json json = read_json_file(path, "resume");
  if (!json.is_object() || json.value("key", Json()) != key || !json.contains("sensitivity")) return {};
  return parse_sensitivity(dump_json(json["sensitivity"]), path);
}

Sensitivity measured(const TensorSource& source, const Plan& base, const QuantizeOptions& options, const HeldBack& text, const Calibration& calibration, Context& context) {
  const bool resumable = base.calibrated && base.method != "gguf" && !options.out.empty();  // the others finish in one go
  const std::string directory = Checkpoint::directory_of(options.out), key = measuring_key(source, base, options, calibration);
  if (resumable && options.resume)
    if (auto found = kept(directory, key)) {
      context.info(fmt::format("{}: the sensitivities are measured already", directory));
      return *found;
    }
  std::map<std::string, Tensor> importance;
  OutputNotes notes{options, {}, {}, 0, 0};
  if (!options.importance.empty()) importance = read_importance(options.importance, base.spec, notes);
  const Sensitivity result = measure_sensitivity(source, base, options, text, importance, context);
  if (resumable) {
    std::error_code ignored;  // without the folder nothing is kept, and measuring starts again after an interruption
    std::filesystem::create_directories(directory, ignored);
    if (!ignored) write_file(path_join(directory, kKept), dump_json({{"key", key}, {"sensitivity", sensitivity_json(result)}}));
  }
  return result;
}

}  // namespace

Mixed plan_mixed(const TensorSource& source, const ModelSpec& spec, const QuantizeOptions& options, Context& context) {
  Mixed out{make_plan(source, spec, options), {}, {}, 0};
  if (!options.sensitivity.empty()) out.sensitivity = read_sensitivity(options.sensitivity);
  const bool measures = wants_measuring(options);
  if (!measures && !(wants_mix(options) && (out.plan.calibrated || options.max_ppl_increase >= 0))) return out;
  const Calibration calibration = choose_calibration(source, out.plan, options, context);
  const auto groups = mix_groups(out.plan, options.candidates);
  out.text = hold_back(calibration, plan_measurement(spec, groups).tokens);
  if (!measures) return out;
  const auto start = std::chrono::steady_clock::now();
  out.sensitivity = measured(source, out.plan, options, *out.text, calibration, context);
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!options.save_sensitivity.empty()) write_file(options.save_sensitivity, dump_json(sensitivity_json(*out.sensitivity)));
  if (wants_mix(options)) out.plan = make_mixed_plan(source, spec, options, *out.sensitivity);
  return out;
}

void discard_measured(const std::string& output) {
  std::error_code ignored;
  std::filesystem::remove(path_join(Checkpoint::directory_of(output), kKept), ignored);
}

bool verify_mixed(const TensorSource& source, const Mixed& mixed, const QuantizeOptions& options, const std::string& written, Json& mix, Context& context) {
  mix = mix_json(mixed.plan);
  if (!mixed.text) return true;
  const auto loss = compare_models(source, *open_source(written), mixed.text->judged, context);
  const double increase = std::expm1(loss.nll);
  mix["measured_kld"] = loss.kld, mix["measured_ppl_increase"] = increase, mix["measured_tokens"] = mixed.text->tokens();
  if (options.max_ppl_increase < 0 || increase <= options.max_ppl_increase / 100) return true;
  context.warn("check-failed", fmt::format("{}: perplexity is {:.3g} % higher on {} held-back tokens, {:g} % were allowed ({:.3g} % expected); the file is kept, ask for less to get a better one", written,
                                           100 * increase, mixed.text->tokens(), options.max_ppl_increase, 100 * mixed.plan.mix->ppl_increase));
  return false;
}

}  // namespace teeny
