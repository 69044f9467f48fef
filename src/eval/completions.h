// Completions for a problem set: written by a model, or read from a file; and their verdicts.
#pragma once
#include "eval/programs.h"

namespace teeny {

// Everything that decides a verdict besides the model.
struct ProgramSettings {
  std::string name, protocol, language, problems_sha256;
  std::vector<Problem> problems;
  GenerateParams params;
  int64_t samples = 1;
  bool add_special = false;
  bool instruct = false;
  double timeout_s = 0;  // 0: the judge's own
};
// The program protocol of this run: instruct or base. Without --protocol: what the model (or the file to score) suggests.
bool wants_instruct(EvalJob& job);
// With --score-completions only the problems that have a completion are kept.
ProgramSettings make_settings(EvalJob& job, const ProgramTask& task);

// `judged` false: completions are only saved. `save`: they go to --save-completions.
std::vector<ProblemResult> generate_and_judge(EvalJob& job, const ProgramSettings& settings, Runner& model, bool judged, bool save);
std::vector<ProblemResult> judge_file(EvalJob& job, const ProgramSettings& settings, const std::string& path);

// --score-completions without --tasks: the task whose problems the first completion names.
std::vector<std::string> tasks_of_completions(const EvalOptions& options);

}  // namespace teeny
