// teeny eval: options -> tasks -> record, one a model.
#include <set>

#include "eval/checks.h"
#include "eval/completions.h"
#include "eval/job.h"
#include "teeny/core/error.h"
#include "teeny/record/record.h"

namespace teeny {
namespace {

// Everything that can be refused before a model is opened.
std::vector<const TaskEntry*> select_tasks(const EvalOptions& options) {
  std::vector<const TaskEntry*> out;
  for (const auto& name : options.tasks.empty() && !options.score_completions.empty() ? tasks_of_completions(options) : options.tasks) {
    const auto* task = &find_task(name);
    if (std::find(out.begin(), out.end(), task) == out.end()) out.push_back(task);
  }
  if (out.empty()) throw usage_error("eval", "--tasks", "names no task; e.g. --tasks ppl,demo-code");
  bool any_code = false;
  for (const auto* task : out) {
    any_code = any_code || task->code;
    if (task->needs_reference && options.reference.empty())
      throw usage_error("eval", task->name, "compares with a reference model; pass --reference MODEL, e.g. the model that was quantized");
    if (!task->code && !options.score_completions.empty())
      throw usage_error("eval", "--score-completions", "scores programs and runs no model, but {} needs one; leave {} out of --tasks", task->name, task->name);
  }
  const auto& p = options.protocol;
  if (!p.empty() && p != "base" && p != "instruct") throw usage_error("eval", "--protocol", "\"{}\" is unknown; base or instruct", p);
  if (options.ppl_protocol != "windows" && options.ppl_protocol != "llama.cpp")
    throw usage_error("eval", "--ppl-protocol", "\"{}\" is unknown; windows or llama.cpp", options.ppl_protocol);
  if (options.samples_per_task < 1) throw usage_error("eval", "--samples-per-task", "is {}, expected at least 1", options.samples_per_task);
  for (const int64_t k : options.pass_at)
    if (k < 1 || (options.score_completions.empty() && k > options.samples_per_task))
      throw usage_error("eval", "--pass-at", "{} needs at least {} samples a task, --samples-per-task is {}; raise it", k, k, options.samples_per_task);
  const bool gate = options.fail_if_loss >= 0 || options.require_loss_below >= 0;
  if (gate && (options.reference.empty() || !any_code))
    throw usage_error("eval", options.fail_if_loss >= 0 ? "--fail-if-loss" : "--require-loss-below",
                      "judges the paired loss of a code task; pass --reference MODEL and a code task such as --tasks demo-code");
  return out;
}
// Several models at once: every one has a record of its own, so what belongs to one run alone is refused.
void check_models(const EvalOptions& options) {
  if (options.also.empty()) return;
  for (const auto& [option, given] : {std::pair{"--save-completions", &options.save_completions}, std::pair{"--score-completions", &options.score_completions}})
    if (!given->empty()) throw usage_error("eval", option, "goes with one model, {} are given; run the models one by one for that", options.also.size() + 1);
  std::set<std::string> seen{options.model};
  for (const auto& path : options.also)
    if (!seen.insert(path).second) throw usage_error("eval", path, "is given twice with --model; give it once");
}

// The jobs of a run, the record of each, and which of the context's warnings belong to it.
class Records {
 public:
  Records(EvalShared& shared) : shared_(shared) {
    for (size_t i = 0; i < shared.models(); ++i) {
      jobs_.emplace_back(shared, i);
      records_.emplace_back("eval", shared.options.args, shared.context.seed);
      if (jobs_[i].has_model()) records_[i].json()["model"] = jobs_[i].model().describe(shared.options.hash);
    }
    warnings_.resize(jobs_.size());
  }
  std::deque<EvalJob>& jobs() { return jobs_; }

  template <class Step>
  auto with(size_t i, Step&& step) {
    const size_t before = shared_.context.warnings().size();
    if constexpr (std::is_void_v<decltype(step(jobs_[i]))>) {
      step(jobs_[i]);
      keep_warnings(i, before);
    } else {
      auto result = step(jobs_[i]);
      keep_warnings(i, before);
      return result;
    }
  }

  Json finish(size_t i, bool passed) {
    EvalJob& job = jobs_[i];
    Json& json = records_[i].json();
    json["eval"] = job.result();
    json["eval"]["peak_host_bytes"] = peak_host_bytes();
    json["eval"]["peak_device_bytes"] = job.has_model() && job.model().loaded() ? Json(job.model().get(job.context).peak_device_bytes()) : Json(nullptr);
    records_[i].finish(job.context, passed ? "ok" : "check-failed");
    if (jobs_.size() > 1) json["warnings"] = warnings_[i];
    if (i > 0) json["energy"] = energy_not_measured();  // the first record has that of the whole run
    return json;
  }

 private:
  void keep_warnings(size_t i, size_t before) {
    const auto& all = shared_.context.warnings();
    for (size_t k = before; k < all.size(); ++k) warnings_[i].push_back({{"code", all[k].code}, {"message", all[k].message}});
  }

  EvalShared& shared_;
  std::deque<EvalJob> jobs_;
  std::deque<RunRecord> records_;
  std::vector<Json::array_t> warnings_;
};
}  // namespace

Json run_eval_with(const EvalOptions& options, Context& context, const EvalServices& services) {
  const auto tasks = select_tasks(options);
  check_models(options);
  EvalShared shared(options, context, services);
  Records records(shared);
  const size_t n = shared.models();
  for (const auto* task : tasks)
    for (size_t i = 0; i < n; ++i) {
      context.check_interrupted();
      records.with(i, task->run);
    }
  adjust_for_multiplicity(records.jobs());
  std::vector<bool> passed;
  for (size_t i = 0; i < n; ++i) passed.push_back(records.with(i, run_checks));
  Json out = records.finish(0, passed[0]);
  for (size_t i = 1; i < n; ++i) out["variants"].push_back(records.finish(i, passed[i]));
  return out;
}

}  // namespace teeny
