// The table of tasks: one line each.
#include "eval/job.h"
#include "teeny/core/error.h"

namespace teeny {

const std::vector<TaskEntry>& eval_tasks() {
  static const std::vector<TaskEntry> tasks{
      {"ppl", "perplexity over non-overlapping windows of a text", false, false, run_ppl},
      {"kld", "KL divergence from a reference model over the same windows", false, true, run_kld},
      {"demo-code", "pass@1 on the small Python and JavaScript sets that ship with teeny", true, false, run_demo_code},
      {"humaneval", "pass@k on HumanEval (Python), or any problem set in its form", true, false, run_humaneval},
      {"humaneval-mul", "pass@1 on HumanEval-Mul, eight languages", true, false, run_humaneval_mul},
  };
  return tasks;
}

const TaskEntry& find_task(const std::string& name) {
  std::string known;
  for (const auto& task : eval_tasks()) {
    if (name == task.name) return task;
    known += (known.empty() ? "" : ", ") + std::string(task.name);
  }
  throw usage_error("eval", "--tasks", "\"{}\" is not a task; the tasks are {}", name, known);
}

}  // namespace teeny
