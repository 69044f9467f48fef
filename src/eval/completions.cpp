#include "eval/completions.h"

#include <map>

#include "eval/journal.h"
#include "eval/judge_queue.h"
#include "eval/program_compare.h"
#include "teeny/core/error.h"
#include "teeny/family/tokenizer_source.h"
#include "teeny/text/dataset.h"

namespace teeny {
namespace {

// `language`: lines that name another are left out. "": all.
std::multimap<std::string, std::string> read_completions(const std::string& path, const std::string& language) {
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
    if (!language.empty() && row.contains("language") && row["language"] != language) continue;
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
    if (verdict.ran && !verdict.passed) ++result.categories[verdict.category];
    result.samples += verdict.ran;
    result.passed += verdict.ran && verdict.passed;
    result.degenerate = result.degenerate || repeats_itself(samples[i].completion);
  }
  return out;
}
}  // namespace

std::vector<std::string> tasks_of_completions(const EvalOptions& options) {
  const auto given = read_completions(options.score_completions, "");
  if (given.empty()) throw input_error("eval", options.score_completions, "holds no completion; expected JSON lines {{\"task_id\": ..., \"completion\": ...}}");
  return {options.data.empty() && given.begin()->first.starts_with("Teeny") ? "demo-code" : "humaneval"};
}

bool wants_instruct(EvalJob& job) {
  const std::string& asked = job.options.protocol;
  if (!asked.empty()) return asked == "instruct";
  if (!job.has_model()) {
    const auto rows = read_jsonl(job.options.score_completions);
    return !rows.empty() && rows.front().is_object() && rows.front().value("protocol", "") == "instruct";
  }
  try {
    return load_chat_template(job.model().source()) != nullptr;
  } catch (const Error& error) {
    job.context.warn("chat-template", fmt::format("{}; prompts are put by the base protocol", error.what()));
    return false;
  }
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
  out.instruct = task.instruct;
  out.add_special = task.add_special && !task.instruct;
  out.timeout_s = options.timeout;
  out.params.max_new_tokens = options.max_new_tokens > 0 ? options.max_new_tokens : task.max_new_tokens;
  out.params.temperature = options.temperature;
  out.params.seed = job.context.seed;
  out.params.batch = options.batch;
  // Everything after the first of these is cut before judging, so generation may end there. An answer ends by itself.
  if (!out.instruct) out.params.stop = default_stops(out.language);
  if (!options.score_completions.empty()) {
    const auto given = read_completions(options.score_completions, out.language);
    const size_t all = out.problems.size();
    std::erase_if(out.problems, [&](const Problem& p) { return !given.contains(p.task_id); });
    if (!out.problems.empty() && out.problems.size() < all)
      job.context.warn("completions-missing", fmt::format("{} of {} problems of {} have no completion in {}; only the others are scored", all - out.problems.size(), all,
                                                          task.name, options.score_completions));
  }
  return out;
}

namespace {

// One prompt a sample, in the model's own tokens.
std::vector<std::vector<int32_t>> encode_prompts(const ProgramSettings& settings, Runner& model) {
  std::shared_ptr<ChatTemplate> chat;
  if (settings.instruct && !(chat = load_chat_template(model.source())))
    throw input_error("eval", model.source().path(), "has no chat template, which --protocol instruct needs; pass --protocol base");
  std::vector<std::vector<int32_t>> prompts;
  for (const auto& p : settings.problems) {
    const std::string text = chat ? chat->render({{"user", instruct_prompt(p)}}, true) : p.prompt;
    prompts.insert(prompts.end(), size_t(settings.samples), model.tokenizer().encode(text, settings.add_special));
  }
  return prompts;
}

Job job_for(const ProgramSettings& settings, const Problem& problem, const std::string& completion) {
  if (settings.instruct) return {problem, extract_program(problem, completion), false, true};
  return {problem, completion, true};
}

// Generates what the journal does not have; done(index, text) for every completion.
std::vector<std::string> generate_missing(EvalJob& job, const ProgramSettings& settings, Runner& model, Journal& journal, const std::function<void(size_t, const std::string&)>& done) {
  const auto prompts = encode_prompts(settings, model);
  std::vector<std::string> texts(prompts.size());
  std::vector<std::vector<int32_t>> missing;
  GenerateParams params = settings.params;
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (const auto found = journal.found().find(i); found != journal.found().end()) {
      done(i, texts[i] = found->second);
    } else {
      missing.push_back(prompts[i]);
      params.keys.push_back(i);
    }
  }
  if (missing.empty()) return texts;
  model.generate(missing, params, job.context, [&](size_t k, const Completion& c) {
    const size_t i = params.keys[k];
    texts[i] = c.text;
    journal.add(i, c.text);
    done(i, c.text);
  });
  return texts;
}

}  // namespace

std::vector<ProblemResult> generate_and_judge(EvalJob& job, const ProgramSettings& settings, Runner& model, bool judged, bool save) {
  const size_t n = settings.problems.size(), samples = size_t(settings.samples);
  LazyModel* owner = job.has_model() && &job.model().get(job.context) == &model ? &job.model() : job.reference();
  Journal journal(reference_cache_key(owner->fingerprint(), job.context.device, settings), job.options.resume, job.context);
  std::unique_ptr<JudgeQueue> queue;
  if (judged) queue = std::make_unique<JudgeQueue>(job.judge(), n * samples, job.context);
  const auto texts = generate_missing(job, settings, model, journal, [&](size_t i, const std::string& text) {
    const Problem& problem = settings.problems[i / samples];
    if (queue) queue->push(i, job_for(settings, problem, text));
  });
  std::vector<Sample> all;
  for (size_t i = 0; i < texts.size(); ++i) {
    all.push_back({i / samples, texts[i]});
    if (save) job.add_completion(settings.problems[i / samples].task_id, texts[i], settings.language, settings.instruct);
  }
  if (save) job.save_completions();
  auto results = queue ? collect(settings, all, queue->finish()) : std::vector<ProblemResult>{};
  journal.finished();
  return results;
}

std::vector<ProblemResult> judge_file(EvalJob& job, const ProgramSettings& settings, const std::string& path) {
  const auto given = read_completions(path, settings.language);
  std::vector<Sample> samples;
  std::vector<Job> jobs;
  for (size_t i = 0; i < settings.problems.size(); ++i) {
    const auto [first, last] = given.equal_range(settings.problems[i].task_id);
    for (auto it = first; it != last; ++it) {
      samples.push_back({i, it->second});
      jobs.push_back(job_for(settings, settings.problems[i], it->second));
    }
  }
  return collect(settings, samples, job.judge().run(jobs, job.context));
}

}  // namespace teeny
