// Programs written by a model: generated, judged while generation goes on, scored, compared. What the code tasks share.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "eval/job.h"

namespace teeny {

struct ProgramTask {
  std::string name;            // in the record: "demo-code-python"
  std::string protocol;        // in words, for the record
  std::string problems;        // path of the problem set
  int64_t max_new_tokens = 0;  // unless --max-new-tokens says otherwise
  bool add_special = false;    // BOS, when the tokenizer adds one
  bool instruct = false;       // through the chat template; the answer's code block is the program
};

// Adds the task, its errors and, with --reference, the paired comparison. A missing sandbox or interpreter makes the task
// "not run" with its reason; it is never an error. Returns the task's value.
std::optional<double> run_program_task(EvalJob& job, const ProgramTask& task);

// One problem's outcome over its samples.
struct ProblemResult {
  std::string task_id;
  int64_t samples = 0, passed = 0;   // samples that could be judged, and passed
  std::string category;              // of the first sample that failed, else "passed"
  std::map<std::string, int64_t> categories;  // of all samples that failed
  std::string completion_sha256;     // of the first sample, 16 digits
  bool degenerate = false;           // a sample repeats itself to its end
  double rate() const { return samples ? double(passed) / double(samples) : 0; }
};

Json to_json(const ProblemResult& result);
ProblemResult problem_result_from_json(const Json& json);

// True when the text ends in at least six repeats of one short piece that fill its second half.
bool repeats_itself(const std::string& text);

}  // namespace teeny
