// teeny eval: options -> tasks -> record.
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
}  // namespace

Json run_eval_with(const EvalOptions& options, Context& context, const EvalServices& services) {
  const auto tasks = select_tasks(options);
  RunRecord record("eval", options.args, context.seed);
  EvalJob job(options, context, services);
  if (job.has_model()) record.json()["model"] = job.model().describe(options.hash);
  for (const auto* task : tasks) {
    context.check_interrupted();
    task->run(job);
  }
  adjust_for_multiplicity(job.comparisons());
  const bool passed = run_checks(job);
  record.json()["eval"] = job.result();
  auto& eval = record.json()["eval"];
  eval["peak_host_bytes"] = peak_host_bytes();
  eval["peak_device_bytes"] = job.has_model() && job.model().loaded() ? Json(job.model().get(context).peak_device_bytes()) : Json(nullptr);
  record.finish(context, passed ? "ok" : "check-failed");
  return record.json();
}

}  // namespace teeny
