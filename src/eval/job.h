// One run of `teeny eval`: what all its models share (each loaded when first needed, one pass over the text, the judge), and
// for each model the job that tasks read from and add to (tasks, comparisons, error counts).
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/text_pass.h"
#include "teeny/core/engine.h"
#include "teeny/judge/judge.h"
#include "teeny/runtime/runner.h"

namespace teeny {

// The judge as the tasks see it, so that tests can put another in its place.
class ProgramJudge {
 public:
  virtual ~ProgramJudge() = default;
  virtual SandboxInfo sandbox() = 0;
  virtual Json toolchains() = 0;  // {language: {state, version, ...}} of those used
  virtual Json toolchain(const std::string& language) {
    const Json all = toolchains();
    return all.contains(language) ? all[language] : Json({{"state", "unknown"}, {"problem", "this teeny has no runner for it"}});
  }
  virtual std::vector<Verdict> run(const std::vector<Job>& jobs, const Context& context) = 0;
};

struct EvalServices {
  std::function<std::unique_ptr<TensorSource>(const std::string& path)> open;
  std::function<std::unique_ptr<Runner>(std::unique_ptr<TensorSource> source, Context& context, int act_bits)> load;  // act_bits as in load_runner
  std::function<std::unique_ptr<ProgramJudge>(const JudgeOptions& options)> judge;
};

// A model that is opened (headers) at once and loaded when it must compute.
class LazyModel {
 public:
  LazyModel(std::string path, const EvalServices& services, int act_bits = 0) : path_(std::move(path)), act_bits_(act_bits), services_(services) {}
  const std::string& path() const { return path_; }
  Json describe(bool hash);             // the record's model block; reads headers only
  std::string fingerprint() { return describe(false).value("fingerprint", ""); }
  Runner& get(Context& context);
  const TensorSource& source();         // headers only, unless it is loaded
  bool loaded() const { return runner_ != nullptr; }

 private:
  std::string path_;
  int act_bits_;
  const EvalServices& services_;
  std::unique_ptr<TensorSource> source_;
  std::unique_ptr<Runner> runner_;
  Json description_;
};

class EvalShared {
 public:
  EvalShared(const EvalOptions& options, Context& context, const EvalServices& services);

  const EvalOptions& options;
  Context& context;

  size_t models() const { return models_.size(); }  // options.model, then options.also
  LazyModel& model(size_t i) { return models_[i]; }
  LazyModel* reference() { return reference_ ? &*reference_ : nullptr; }
  const TextWindows& text();
  const TextPass& text_pass(size_t model);  // the first call makes the pass of all models
  ProgramJudge& judge();
  ProgramJudge* judge_used() { return judge_.get(); }  // nullptr: none was needed

 private:
  const EvalServices& services_;
  std::deque<LazyModel> models_;
  std::optional<LazyModel> reference_;
  std::optional<TextWindows> text_;
  std::vector<TextPass> passes_;
  std::unique_ptr<ProgramJudge> judge_;
};

class EvalJob {
 public:
  EvalJob(EvalShared& shared, size_t model) : options(shared.options), context(shared.context), shared_(shared), index_(model) {}

  const EvalOptions& options;
  Context& context;

  bool has_model() const { return options.score_completions.empty(); }
  LazyModel& model() { return shared_.model(index_); }
  LazyModel* reference() { return shared_.reference(); }  // nullptr: none was named
  const TextWindows& text() { return shared_.text(); }
  const TextPass& text_pass() { return shared_.text_pass(index_); }  // of the model, and of the reference when there is one
  ProgramJudge& judge() { return shared_.judge(); }

  void add_task(Json task) { tasks_.push_back(std::move(task)); }
  void add_comparison(Json comparison) { comparisons_.push_back(std::move(comparison)); }
  void count_error(const std::string& category, int64_t count) { errors_[category] += count; }
  void add_completion(const std::string& task_id, const std::string& completion, const std::string& language, bool instruct);
  void save_completions();  // to options.save_completions, all so far
  // For the mean over the languages of humaneval-mul: what run_program_task found, by task.
  struct Outcome {
    std::string problem;  // HumanEval's own number, the same in all languages
    double ours = 0;
    std::optional<double> theirs;
  };
  std::map<std::string, std::vector<Outcome>> outcomes;
  Json& details() { return details_; }
  std::vector<Json>& comparisons() { return comparisons_; }
  Json result();            // the record's eval block

 private:
  EvalShared& shared_;
  size_t index_;
  std::vector<Json> tasks_, comparisons_;
  std::map<std::string, int64_t> errors_;
  std::string completions_;
  Json details_ = Json::object();
};

// One task: what --tasks names. `code` tasks run programs and can score given completions without a model.
struct TaskEntry {
  const char* name;
  const char* summary;
  bool code;
  bool needs_reference;
  void (*run)(EvalJob& job);
};
const std::vector<TaskEntry>& eval_tasks();
const TaskEntry& find_task(const std::string& name);  // Usage error listing the names

void run_ppl(EvalJob& job);
void run_kld(EvalJob& job);
void run_demo_code(EvalJob& job);
void run_humaneval(EvalJob& job);
void run_humaneval_mul(EvalJob& job);

Json run_eval_with(const EvalOptions& options, Context& context, const EvalServices& services);

}  // namespace teeny
