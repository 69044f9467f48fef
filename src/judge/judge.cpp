// The judge's face: finds interpreters and the best sandbox that works here, spreads jobs over threads, repeats timeouts.
#include "teeny/judge/judge.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "judge/selftest.h"
#include "teeny/core/error.h"
#include "teeny/core/parallel.h"

namespace teeny {

using namespace judge;

class JudgeState {
 public:
  explicit JudgeState(JudgeOptions options) : options_(std::move(options)) {
    if (!(options_.timeout_s > 0)) throw usage_error("judge", "--timeout", "is {}; give a number of seconds above 0", options_.timeout_s);
  }

  void prepare() {
    if (prepared_) return;
    prepared_ = true;
    for (const Language& language : languages()) candidates_.push_back(find_toolchains(language));
    for (Tier tier : {Tier::Bubblewrap, Tier::Landlock, Tier::Unsandboxed}) {
      if (!options_.force_tier.empty() && tier_name(tier) != options_.force_tier) continue;
      if (tier == Tier::Unsandboxed && !options_.accept_unsandboxed) continue;
      if (try_tier(tier)) return;
    }
    sandbox_.reset();
  }

  SandboxInfo info() {
    prepare();
    return {std::string(tier_name(sandbox_ ? sandbox_->tier() : Tier::None)), self_test_};
  }

  Json toolchains() {
    prepare();
    Json out = Json::object();
    for (const Language& language : languages()) {
      const Toolchain* t = find(language.id);
      if (t) out[language.id] = {{"state", "ok"}, {"path", t->path}, {"version", t->version}};
      else out[language.id] = {{"state", "not found"}, {"path", nullptr}, {"version", nullptr}, {"problem", missing(language)}};
    }
    return out;
  }

  std::vector<Verdict> run(const std::vector<Job>& jobs, const Context& context) {
    prepare();
    if (!sandbox_)
      throw device_error("judge", "sandbox", "none works on this machine ({}); install bubblewrap (teeny doctor says more), or accept the risk with --i-accept-unsandboxed",
                         self_test_.dump());
    std::vector<Verdict> verdicts(jobs.size());
    int threads = options_.threads > 0 ? options_.threads : context.thread_count();
    std::vector<size_t> all(jobs.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = i;
    judge_all(jobs, all, threads, context, verdicts, true);
    std::vector<size_t> again;
    for (size_t i = 0; i < jobs.size(); ++i)
      if (verdicts[i].timed_out) again.push_back(i);
    judge_all(jobs, again, 1, context, verdicts, false);
    return verdicts;
  }

 private:
  SessionOptions session_options(const Sandbox& sandbox, const Toolchain& toolchain) const {
    return {&sandbox, &toolchain, options_.timeout_s, options_.memory_bytes, options_.output_quota, nullptr};
  }

  // Keeps the sandbox and the interpreters that work in it when the self-test passes.
  bool try_tier(Tier tier) {
    std::string name(tier_name(tier));
    try {
      std::vector<Toolchain> all;
      for (auto& list : candidates_) all.insert(all.end(), list.begin(), list.end());
      auto sandbox = std::make_unique<Sandbox>(tier, all);
      std::vector<Toolchain> usable;
      for (auto& list : candidates_)
        for (Toolchain t : list)
          if (t.version = run_command(*sandbox, t, t.language->version_arguments); !t.version.empty()) {
            usable.push_back(std::move(t));
            break;
          }
      if (usable.empty()) {
        self_test_[name] = "no interpreter starts in it";
        return false;
      }
      SessionOptions options = session_options(*sandbox, usable.front());
      options.timeout_s = std::max(options.timeout_s, 2.0);
      bool passed = false;
      self_test_[name] = self_test(options, passed);
      if (!passed) return false;
      sandbox_ = std::move(sandbox);
      toolchains_ = std::move(usable);
      return true;
    } catch (const Error& error) {
      self_test_[name] = error.what();
      return false;
    }
  }

  const Toolchain* find(std::string_view language) const {
    for (const Toolchain& t : toolchains_)
      if (t.language->id == language) return &t;
    return nullptr;
  }

  std::string missing(const Language& language) const {
    std::string found;
    for (auto& list : candidates_)
      for (const Toolchain& t : list)
        if (t.language->id == language.id) found += (found.empty() ? "" : ", ") + t.path;
    std::string names = fmt::format("{}", fmt::join(language.executables, " or "));
    if (found.empty()) return fmt::format("no {} in PATH; install it", names);
    return fmt::format("{} found at {}, but it does not start in the sandbox (is it in a folder closed to other users?); install one under /usr", names, found);
  }

  Verdict judge_one(const Job& job, std::map<std::string, Peer>& drivers, const Context& context) const {
    Verdict verdict;
    const Language* language = find_language(job.problem.language);
    const Toolchain* toolchain = find(job.problem.language);
    if (!toolchain) {
      verdict.ran = false;
      verdict.category = category::kNotRun;
      verdict.detail = language ? missing(*language) : fmt::format("the judge knows no language \"{}\"", job.problem.language);
      return verdict;
    }
    std::string body = job.cut ? cut_completion(language->id, job.completion, job.problem.stop_tokens) : job.completion;
    SessionOptions options = session_options(*sandbox_, *toolchain);
    options.interrupted = context.interrupted;
    verdict = judge_program(options, job.problem, job.problem.prelude + job.problem.prompt + body, drivers[language->id]);
    bool blank = body.find_first_not_of(" \t\r\n") == std::string::npos;
    if (blank && verdict.ran && !verdict.passed) verdict.category = category::kEmpty;
    return verdict;
  }

  void judge_all(const std::vector<Job>& jobs, const std::vector<size_t>& indices, int threads, const Context& context,
                 std::vector<Verdict>& verdicts, bool count) const {
    std::atomic<size_t> next{0};
    std::mutex progress;
    size_t lanes = std::min(indices.size(), size_t(std::max(threads, 1)));
    parallel_for(lanes, int(lanes), [&](size_t) {
      std::map<std::string, Peer> drivers;  // one per language and thread
      for (size_t i = next++; i < indices.size() && !(context.interrupted && context.interrupted->load()); i = next++) {
        verdicts[indices[i]] = judge_one(jobs[indices[i]], drivers, context);
        std::lock_guard lock(progress);
        if (count) context.progress_advance(1, jobs[indices[i]].problem.task_id);
      }
    });
    context.check_interrupted();
  }

  JudgeOptions options_;
  bool prepared_ = false;
  std::vector<std::vector<Toolchain>> candidates_;  // by language
  std::vector<Toolchain> toolchains_;               // the one in use for each language
  std::unique_ptr<Sandbox> sandbox_;
  Json self_test_ = Json::object();
};

Judge::Judge(JudgeOptions options) : state_(std::make_unique<JudgeState>(std::move(options))) {}
Judge::~Judge() = default;
SandboxInfo Judge::sandbox() { return state_->info(); }
Json Judge::toolchains() { return state_->toolchains(); }
std::vector<Verdict> Judge::run(const std::vector<Job>& jobs, const Context& context) { return state_->run(jobs, context); }

}  // namespace teeny
