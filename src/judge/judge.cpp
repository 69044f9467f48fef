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
    std::lock_guard lock(mutex_);
    if (prepared_) return;
    prepared_ = true;
    for (const Language& language : languages()) found_.emplace_back().candidates = find_toolchains(language);
    for (Tier tier : {Tier::Bubblewrap, Tier::Landlock, Tier::Unsandboxed}) {
      if (!options_.force_tier.empty() && tier_name(tier) != options_.force_tier) continue;
      if (tier == Tier::Unsandboxed && !options_.accept_unsandboxed) continue;
      if (try_tier(tier)) return;
    }
    sandbox_.reset();
  }

  SandboxInfo info() {
    prepare();
    std::lock_guard lock(mutex_);
    return {std::string(tier_name(sandbox_ ? sandbox_->tier() : Tier::None)), self_test_};
  }

  Json toolchain(std::string_view id) {
    prepare();
    const Language* language = find_language(id);
    if (!language) return {{"state", "unknown"}, {"path", nullptr}, {"version", nullptr}, {"problem", fmt::format("the judge knows no language \"{}\"", id)}};
    if (const Toolchain* t = find(*language)) {
      Json out = {{"state", "ok"}, {"path", t->path()}, {"version", t->version}};
      if (t->tools.size() > 1) out["with"] = std::vector<std::string>(t->tools.begin() + 1, t->tools.end());
      return out;
    }
    std::lock_guard lock(mutex_);
    return {{"state", "not found"}, {"path", nullptr}, {"version", nullptr}, {"problem", entry(*language).problem}};
  }

  Json toolchains() {
    Json out = Json::object();
    for (const Language& language : languages()) out[language.id] = toolchain(language.id);
    return out;
  }

  // Those that were needed so far.
  Json used_toolchains() {
    Json out = Json::object();
    for (const Language& language : languages()) {
      std::unique_lock lock(mutex_);
      const bool used = prepared_ && entry(language).checked;
      lock.unlock();
      if (used) out[language.id] = toolchain(language.id);
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
  struct Found {
    std::vector<Toolchain> candidates;
    std::unique_ptr<Toolchain> usable;  // starts in the sandbox and passed its self-test
    bool checked = false;
    std::string problem;                // why there is none
  };
  Found& entry(const Language& language) { return found_[size_t(&language - languages().data())]; }

  SessionOptions session_options(const Sandbox& sandbox, const Toolchain& toolchain) {
    return {&sandbox, &toolchain, options_.timeout_s, options_.memory_bytes, options_.output_quota, nullptr, &tests_};
  }

  // The first candidate that says its version in the sandbox.
  static std::unique_ptr<Toolchain> start(const Sandbox& sandbox, const std::vector<Toolchain>& candidates) {
    for (Toolchain t : candidates)
      if (t.version = run_command(sandbox, t, t.language->version_arguments); !t.version.empty()) return std::make_unique<Toolchain>(std::move(t));
    return nullptr;
  }

  // Keeps the sandbox when the self-test passes with the first language that starts in it.
  bool try_tier(Tier tier) {
    std::string name(tier_name(tier));
    try {
      std::vector<Toolchain> all;
      for (const Found& f : found_) all.insert(all.end(), f.candidates.begin(), f.candidates.end());
      auto sandbox = std::make_unique<Sandbox>(tier, all);
      for (Found& f : found_) {
        if (f.candidates.empty() || (f.candidates.front().language->starts_processes && !sandbox->may_start_processes())) continue;
        auto usable = start(*sandbox, f.candidates);
        if (!usable) continue;
        SessionOptions options = session_options(*sandbox, *usable);
        options.timeout_s = std::max(options.timeout_s, 2.0);
        bool passed = false;
        self_test_[name] = self_test(options, passed);
        if (!passed) return false;
        sandbox_ = std::move(sandbox);
        f.usable = std::move(usable);
        f.checked = true;
        return true;
      }
      self_test_[name] = "no interpreter starts in it";
    } catch (const Error& error) {
      self_test_[name] = error.what();
    }
    return false;
  }

  // nullptr: not usable, entry(language).problem says why. The first call for a language runs its self-test.
  const Toolchain* find(const Language& language) {
    std::lock_guard lock(mutex_);
    Found& f = entry(language);
    if (!f.checked) check(language, f);
    return f.usable.get();
  }

  void check(const Language& language, Found& f) {
    f.checked = true;
    if (f.candidates.empty()) return void(f.problem = missing_programs(language));
    if (!sandbox_) return void(f.problem = "no sandbox works here");
    if (language.starts_processes && !sandbox_->may_start_processes())
      return void(f.problem = fmt::format("its tools start processes and write files, which only the tier \"bubblewrap\" contains (here: {}); apt-get install bubblewrap", tier_name(sandbox_->tier())));
    f.usable = start(*sandbox_, f.candidates);
    if (!f.usable) {
      std::string paths;
      for (const Toolchain& t : f.candidates) paths += (paths.empty() ? "" : ", ") + t.path();
      f.problem = fmt::format("{} does not start in the sandbox (is it in a folder closed to other users?); install one under /usr: apt-get install {}", paths, language.packages);
      return;
    }
    bool passed = false;
    SessionOptions options = session_options(*sandbox_, *f.usable);
    options.timeout_s = std::max(options.timeout_s, 2.0);
    const Json result = language_self_test(options, passed);
    self_test_["languages"][language.id] = result;
    if (passed) return;
    f.problem = fmt::format("its self-test failed ({}); apt-get install {}", result.dump(), language.packages);
    f.usable.reset();
  }

  Verdict judge_one(const Job& job, std::map<std::string, Peer>& drivers, const Context& context) {
    Verdict verdict;
    const Language* language = find_language(job.problem.language);
    const Toolchain* toolchain = language ? find(*language) : nullptr;
    if (!toolchain) {
      verdict.ran = false;
      verdict.category = category::kNotRun;
      verdict.detail = this->toolchain(job.problem.language)["problem"].get<std::string>();
      return verdict;
    }
    std::string body = job.cut ? cut_completion(language->id, job.completion, job.problem.stop_tokens) : job.completion;
    SessionOptions options = session_options(*sandbox_, *toolchain);
    options.interrupted = context.interrupted;
    const std::string program = prelude_for(job.problem, body) + (job.whole ? "" : job.problem.prompt) + body;
    verdict = judge_program(options, job.problem, program, drivers[language->id]);
    if (!verdict.ran && (verdict.detail.starts_with(kSandboxFailed) || verdict.detail.starts_with(kTestDied))) verdict = believe_failure(options, job.problem, program, drivers[language->id]);
    bool blank = body.find_first_not_of(" \t\r\n") == std::string::npos;
    if (blank && verdict.ran && !verdict.passed) verdict.category = category::kEmpty;
    return verdict;
  }

  // A program can get out of the score: by writing what only the sandbox says when it cannot be started, or by values that the
  // test process dies of (sets of colliding hashes, millions of lists). When it happens twice while other programs are
  // judged, it was the program.
  static Verdict believe_failure(const SessionOptions& options, const Problem& problem, const std::string& program, Peer& driver) {
    Verdict again = judge_program(options, problem, program, driver);
    bool others_run = false;
    const bool test_died = again.detail.starts_with(kTestDied);
    if (again.ran || !(test_died || again.detail.starts_with(kSandboxFailed))) return again;
    language_self_test(options, others_run);
    if (!others_run) return again;
    again.ran = true;
    again.category = test_died ? category::kOutput : category::kException;
    return again;
  }

  void judge_all(const std::vector<Job>& jobs, const std::vector<size_t>& indices, int threads, const Context& context,
                 std::vector<Verdict>& verdicts, bool count) {
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
  std::mutex mutex_;          // of what follows, while several threads judge
  std::vector<Found> found_;  // by language
  std::unique_ptr<Sandbox> sandbox_;
  Json self_test_ = Json::object();
  BuildCache tests_;
};

Json judge_programs() {
  Json out = Json::object();
  for (const Language& language : languages()) {
    const auto found = find_toolchains(language);
    out[language.id] = {{"paths", found.empty() ? Json::array() : Json(found.front().tools)}, {"packages", language.packages}, {"problem", found.empty() ? missing_programs(language) : ""}};
  }
  return out;
}

Judge::Judge(JudgeOptions options) : state_(std::make_unique<JudgeState>(std::move(options))) {}
Judge::~Judge() = default;
SandboxInfo Judge::sandbox() { return state_->info(); }
Json Judge::toolchain(std::string_view language) { return state_->toolchain(language); }
Json Judge::toolchains() { return state_->toolchains(); }
Json Judge::used_toolchains() { return state_->used_toolchains(); }
std::vector<Verdict> Judge::run(const std::vector<Job>& jobs, const Context& context) { return state_->run(jobs, context); }

}  // namespace teeny
