#include "cli/planned.h"

#include <filesystem>

#include "cli/resolve.h"
#include "teeny/hub/hub.h"
#include "teeny/plan/mix.h"
#include "teeny/plan/work.h"

namespace teeny::cli {
namespace {

// Without sensitivities a mixed plan has no bytes yet.
Json sizes_of(const Plan& plan, Json model) {
  if (plan.mix && !plan.mix->solved) model["bytes"] = model["bits_per_weight"] = Json();
  return model;
}

Json planned_model(const Plan& plan, const std::string& out) {
  return sizes_of(plan, {{"path", out}, {"name", std::filesystem::path(out).filename().string()}, {"family", plan.spec.family}, {"parameters", plan.spec.parameters()}, {"fingerprint", Json()},
          {"sha256", Json()}, {"method", plan.method == "convert" ? Json() : Json(plan.method)}, {"bits", plan.bits}, {"group", plan.group}, {"symmetric", plan.symmetric},
          {"format", plan.format}, {"type", plan.type.empty() ? Json() : Json(plan.type)}, {"bytes", plan.bytes}, {"bits_per_weight", plan.bits_per_weight}, {"act_bits", plan.act_bits < 16 ? Json(plan.act_bits) : Json()}});
}

Json section_of(const Plan& plan) {
  Json section = {{"seconds_by_phase", Json::object()}, {"peak_host_bytes", peak_host_bytes()}, {"peak_device_bytes", Json()}};
  section["tensors"] = Json::array();
  section["fallbacks"] = Json::array();
  for (const auto& tensor : plan.tensors) {
    Json shape = tensor.weight ? Json({tensor.N, tensor.K}) : Json({tensor.N});
    section["tensors"].push_back({{"name", tensor.module}, {"encoding", tensor.encoding.name()}, {"bytes", tensor.bytes}, {"relative_error", Json()}, {"sqnr_db", Json()},
                                  {"shape", shape}, {"method", tensor.method}});
    if (!tensor.note.empty()) section["fallbacks"].push_back({{"name", tensor.module}, {"reason", tensor.note}, {"encoding", tensor.encoding.name()}});
  }
  section["dry_run"] = true;
  section["plan"] = plan_json(plan);
  section["plan"].erase("tensors");
  return section;
}

// A plan needs no weights: config.json is enough for --dry-run.
std::unique_ptr<TensorSource> open_for_plan(const std::string& model, bool dry_run) {
  return dry_run && (has_config_only(model) || lacks_weights(model)) ? open_config(model) : open_source(model);
}

}  // namespace

Plan plan_quantize(const QuantizeOptions& options) {
  const auto source = open_for_plan(options.model, options.dry_run);
  return make_plan(*source, read_spec(*source), options);
}

Plan plan_convert(const ConvertOptions& options) {
  const auto source = open_for_plan(options.model, options.dry_run);
  return make_convert_plan(*source, read_spec(*source), options);
}

Json planned_record(RunRecord& record, const Plan& plan, const QuantizeOptions& options, const Context& context) {
  record.json()["model"] = planned_model(plan, options.out);
  record.json()["quantize"] = section_of(plan);
  record.json()["quantize"]["calibration"] = Json();
  if (plan.mix) record.json()["quantize"]["mix"] = mix_json(plan);
  if (!options.sensitivity.empty()) record.json()["quantize"]["sensitivity"] = sensitivity_record(read_sensitivity(options.sensitivity), plan);
  const std::string text = !plan.calibrated ? "" : options.calibration.empty() ? default_calibration(open_for_plan(options.model, true)->directory()) : options.calibration;
  const double seconds = expected_seconds(count_work(plan, options, text == "self"), measure_speed(context.thread_count()));
  if (text == "self") check_self_calibration(options, options.model, seconds);
  record.json()["quantize"]["plan"]["calibration"] = text.empty() ? Json() : Json(text);
  record.json()["quantize"]["plan"]["expected_seconds"] = seconds;
  record.finish(context);
  return record.json();
}

Json planned_record(RunRecord& record, const Plan& plan, const ConvertOptions& options, const Context& context) {
  record.json()["model"] = planned_model(plan, options.out);
  record.json()["convert"] = section_of(plan);
  record.json()["convert"]["format"] = plan.format;
  record.finish(context);
  return record.json();
}

}  // namespace teeny::cli
