// Fake models, a fake judge, a temporary folder: run_eval_with, with every figure known beforehand.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "eval/job.h"
#include "fake_runner.h"
#include "schema.h"
#include "teeny/core/error.h"

namespace teeny::testing {

// Passes a completion that equals the canonical solution.
class FakeJudge : public ProgramJudge {
 public:
  FakeJudge(std::string tier, bool node, std::vector<Job>* judged = nullptr) : tier_(std::move(tier)), node_(node), judged_(judged) {}
  SandboxInfo sandbox() override { return {tier_, Json::object()}; }
  Json toolchains() override { return {{"python", {{"state", "ok"}}}, {"js", {{"state", node_ ? "ok" : "not found"}}}}; }
  std::vector<Verdict> run(const std::vector<Job>& jobs, const Context&) override {
    std::vector<Verdict> out;
    if (judged_) judged_->insert(judged_->end(), jobs.begin(), jobs.end());
    for (const auto& job : jobs) {
      Verdict v;
      v.passed = job.completion == job.problem.canonical_solution;
      v.ran = job.completion != "cannot be judged";
      v.category = !v.ran ? category::kNotRun : v.passed ? category::kPassed : job.completion.empty() ? category::kEmpty : category::kWrong;
      out.push_back(v);
    }
    return out;
  }

 private:
  std::string tier_;
  bool node_;
  std::vector<Job>* judged_;
};

class EvalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder = (std::filesystem::temp_directory_path() / ("teeny-eval-" + std::to_string(::getpid()) + "-" + info->name())).string();
    std::filesystem::create_directories(folder);
    ::setenv("TEENY_CACHE", (folder + "/cache").c_str(), 1);
    services.open = [](const std::string& path) { return std::make_unique<FakeSource>(path); };
    services.load = [this](std::unique_ptr<TensorSource> source, Context&, int) {
      const std::string path = source->path();
      ++loads[path];
      auto runner = std::make_unique<FakeRunner>(std::move(source));
      prepare(path, *runner);
      return runner;
    };
    services.judge = [this](const JudgeOptions&) { return std::make_unique<FakeJudge>(tier, node, &judged); };
    options.model = "model";
    options.ctx = 8;
  }
  void TearDown() override {
    std::filesystem::remove_all(folder);
    ::unsetenv("TEENY_CACHE");
  }

  std::string file(const std::string& name, const std::string& text) {
    write_file(folder + "/" + name, text);
    return folder + "/" + name;
  }
  Json run() {
    Context context;
    const Json record = run_eval_with(options, context, services);
    EXPECT_EQ(Schema::results().explain(record), "");
    return record;
  }
  std::string error_of(ErrorKind kind) {
    Context context;
    try {
      run_eval_with(options, context, services);
    } catch (const Error& e) {
      EXPECT_EQ(int(e.kind()), int(kind)) << e.what();
      return e.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }

  std::function<void(const std::string& path, FakeRunner& runner)> prepare = [](const std::string&, FakeRunner&) {};
  std::map<std::string, int> loads;
  std::vector<Job> judged;  // all jobs, in the order in which they reached the judge
  std::string folder, tier = "bubblewrap";
  bool node = true;
  EvalServices services;
  EvalOptions options;
};

}  // namespace teeny::testing
