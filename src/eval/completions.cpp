#include "eval/completions.h"

#include <map>

#include "eval/judge_queue.h"
#include "teeny/core/error.h"
#include "teeny/text/dataset.h"

namespace teeny {
namespace {

std::multimap<std::string, std::string> read_completions(const std::string& path) {
  std::multimap<std::string, std::string> out;
  size_t record = 0;
  for (const auto& row : read_jsonl(path)) {
    ++record;
    const auto text = [&](const char* key) {
      const auto found = row.is_object() ? row.find(key) : row.end();
      if (!row.is_object() || found == row.end() || !found->is_string())
        throw input_error("eval", path, "record {} has no \"{}\"; expected JSON lines {{\"task_id\": ..., \"completion\": ...}}", record, key);
      return found->get<std::string>();
    };
    out.emplace(text("task_id"), text("completion"));
  }
  return out;
}

struct Sample {
  size_t problem = 0;
  std::string completion;
};

std::vector<ProblemResult> collect(const ProgramSettings& settings, const std::vector<Sample>& samples, const std::vector<Verdict>& verdicts) {
  std::vector<ProblemResult> out(settings.problems.size());
  for (size_t i = 0; i < out.size(); ++i) out[i].task_id = settings.problems[i].task_id;
  for (size_t i = 0; i < samples.size(); ++i) {
    auto& result = out[samples[i].problem];
    const auto& verdict = verdicts[i];
    if (result.completion_sha256.empty()) {
      result.category = verdict.category;
      result.completion_sha256 = sha256_hex(samples[i].completion).substr(0, 16);
    }
    // The category shown is that of a failure, when there is one.
    if (verdict.ran && !verdict.passed && result.passed == result.samples) result.category = verdict.category;
    result.samples += verdict.ran;
    result.passed += verdict.ran && verdict.passed;
    result.degenerate = result.degenerate || repeats_itself(samples[i].completion);
  }
  return out;
}
}  // namespace

std::vector<std::string> tasks_of_completions(const EvalOptions& options) {
  const auto given = read_completions(options.score_completions);
  if (given.empty()) throw input_error("eval", options.score_completions, "holds no completion; expected JSON lines {{\"task_id\": ..., \"completion\": ...}}");
  return {options.data.empty() && given.begin()->first.starts_with("Teeny") ? "demo-code" : "humaneval"};
}

ProgramSettings make_settings(EvalJob& job, const ProgramTask& task) {
  const auto& options = job.options;
  ProgramSettings out;
  out.name = task.name;
  out.protocol = task.protocol;
  out.problems_sha256 = sha256_file(task.problems);
  out.problems = load_problems(task.problems);
  out.language = out.problems.front().language;
  for (const auto& p : out.problems)
    if (p.language != out.language)
      throw input_error("eval", task.problems, "mixes {} and {} ({}); give one language a file", out.language, p.language, p.task_id);
  if (options.limit > 0 && int64_t(out.problems.size()) > options.limit) out.problems.resize(size_t(options.limit));
  out.samples = options.samples_per_task;
  out.add_special = task.add_special;
  out.timeout_s = options.timeout;
  out.params.max_new_tokens = options.max_new_tokens > 0 ? options.max_new_tokens : task.max_new_tokens;
  out.params.temperature = options.temperature;
  out.params.seed = job.context.seed;
  out.params.batch = options.batch;
  // Everything after the first of these is cut before judging, so generation may end there.
  out.params.stop = default_stops(out.language);
  if (!options.score_completions.empty()) {
    const auto given = read_completions(options.score_completions);
    const size_t all = out.problems.size();
    std::erase_if(out.problems, [&](const Problem& p) { return !given.contains(p.task_id); });
    if (!out.problems.empty() && out.problems.size() < all)
      job.context.warn("completions-missing", fmt::format("{} of {} problems of {} have no completion in {}; only the others are scored", all - out.problems.size(), all,
                                                          task.name, options.score_completions));
  }
  return out;
}

std::vector<ProblemResult> generate_and_judge(EvalJob& job, const ProgramSettings& settings, Runner& model, bool judged, bool save) {
  const size_t n = settings.problems.size(), samples = size_t(settings.samples);
  std::vector<std::vector<int32_t>> prompts;
  for (const auto& p : settings.problems) {
    const auto ids = model.tokenizer().encode(p.prompt, settings.add_special);
    prompts.insert(prompts.end(), samples, ids);
  }
  std::unique_ptr<JudgeQueue> queue;
  if (judged) queue = std::make_unique<JudgeQueue>(job.judge(), n * samples, job.context);
  const auto completions = model.generate(prompts, settings.params, job.context, [&](size_t i, const Completion& c) {
    if (queue) queue->push(i, {settings.problems[i / samples], c.text, true});
  });
  std::vector<Sample> all;
  for (size_t i = 0; i < completions.size(); ++i) {
    all.push_back({i / samples, completions[i].text});
    if (save) job.add_completion(settings.problems[i / samples].task_id, completions[i].text);
  }
  if (save) job.save_completions();
  return queue ? collect(settings, all, queue->finish()) : std::vector<ProblemResult>{};
}

std::vector<ProblemResult> judge_file(EvalJob& job, const ProgramSettings& settings, const std::string& path) {
  const auto given = read_completions(path);
  std::vector<Sample> samples;
  std::vector<Job> jobs;
  for (size_t i = 0; i < settings.problems.size(); ++i) {
    const auto [first, last] = given.equal_range(settings.problems[i].task_id);
    for (auto it = first; it != last; ++it) {
      samples.push_back({i, it->second});
      jobs.push_back({settings.problems[i], it->second, true});
    }
  }
  return collect(settings, samples, job.judge().run(jobs, job.context));
}

}  // namespace teeny
