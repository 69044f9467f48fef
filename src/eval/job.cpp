#include "eval/job.h"

#include "teeny/core/error.h"
#include "teeny/family/describe.h"

namespace teeny {

Json LazyModel::describe(bool hash) {
  if (!description_.is_null()) return description_;
  const TensorSource& s = source();
  description_ = describe_model(s, read_spec(s), read_quant_config(s), hash);
  if (act_bits_) description_["act_bits"] = act_bits_ == 8 ? Json(8) : Json();  // as it runs
  return description_;
}

const TensorSource& LazyModel::source() {
  if (!source_ && !runner_) source_ = services_.open(path_);
  return runner_ ? runner_->source() : *source_;
}

Runner& LazyModel::get(Context& context) {
  if (runner_) return *runner_;
  if (!source_) source_ = services_.open(path_);
  return *(runner_ = services_.load(std::move(source_), context, act_bits_));
}

EvalShared::EvalShared(const EvalOptions& o, Context& c, const EvalServices& services) : options(o), context(c), services_(services) {
  models_.emplace_back(o.model, services, o.act_bits);
  for (const auto& path : o.also) models_.emplace_back(path, services, o.act_bits);
  if (!o.reference.empty()) reference_.emplace(o.reference, services);
}

const TextWindows& EvalShared::text() {
  if (!text_) {
    text_ = load_windows(options, models_.front().get(context));
    for (size_t i = 1; i < models_.size(); ++i) require_same_tokens(*text_, models_.front().get(context), models_[i].get(context));
    if (reference_) require_same_tokens(*text_, models_.front().get(context), reference_->get(context));
  }
  return *text_;
}

const TextPass& EvalShared::text_pass(size_t model) {
  if (passes_.empty()) {
    const auto& windows = text();
    std::vector<Runner*> runners;
    for (auto& m : models_) runners.push_back(&m.get(context));
    passes_ = run_text_pass(runners, reference_ ? &reference_->get(context) : nullptr, windows, context);
  }
  return passes_.at(model);
}

ProgramJudge& EvalShared::judge() {
  if (!judge_) {
    JudgeOptions o;
    o.threads = context.thread_count();
    if (options.timeout > 0) o.timeout_s = options.timeout;
    o.accept_unsandboxed = options.accept_unsandboxed;
    judge_ = services_.judge(o);
  }
  return *judge_;
}

void EvalJob::add_completion(const std::string& task_id, const std::string& completion, const std::string& language, bool instruct) {
  Json line = {{"task_id", task_id}, {"completion", completion}};
  if (language != "python") line["language"] = language;  // the problems of HumanEval-Mul have the same ids in all of them
  if (instruct) line["protocol"] = "instruct";  // so that scoring reads it as an answer
  completions_ += dump_json(line, -1);
}

void EvalJob::save_completions() {
  if (!options.save_completions.empty()) write_file(options.save_completions, completions_);
}

Json EvalJob::result() {
  Json errors = Json::object(), sandbox = nullptr, toolchains = Json::object();
  for (const auto& [category, count] : errors_) errors[category] = count;
  if (ProgramJudge* judge = shared_.judge_used()) {
    const auto info = judge->sandbox();
    sandbox = {{"tier", info.tier}, {"self_test", info.self_test}};
    toolchains = judge->toolchains();
  }
  Json out = {{"tasks", tasks_}, {"comparison", comparisons_}, {"errors", errors}, {"sandbox", sandbox}, {"toolchains", toolchains}};
  if (!details_.empty()) out["details"] = details_;
  return out;
}

}  // namespace teeny
