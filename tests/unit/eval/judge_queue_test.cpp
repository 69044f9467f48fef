#include "eval/judge_queue.h"

#include "eval_fixture.h"

namespace teeny {
namespace {

class ThrowingJudge : public ProgramJudge {
 public:
  SandboxInfo sandbox() override { return {}; }
  Json toolchains() override { return {}; }
  std::vector<Verdict> run(const std::vector<Job>&, const Context&) override { throw device_error("judge", "sandbox", "broke"); }
};

Job job(const std::string& completion) {
  Job out;
  out.problem.canonical_solution = "right";
  out.completion = completion;
  return out;
}

TEST(JudgeQueue, VerdictsStandAtTheirIndex) {
  testing::FakeJudge judge("bubblewrap", true);
  Context context;
  JudgeQueue queue(judge, 100, context);
  for (size_t i = 100; i-- > 0;) queue.push(i, job(i % 3 ? "wrong" : "right"));
  const auto verdicts = queue.finish();
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(verdicts[i].passed, i % 3 == 0) << i;
}

TEST(JudgeQueue, AFailureOfTheJudgeIsRethrownAndNothingHangs) {
  ThrowingJudge judge;
  Context context;
  JudgeQueue queue(judge, 2, context);
  queue.push(0, job("a"));
  queue.push(1, job("b"));
  EXPECT_THROW(queue.finish(), Error);
  JudgeQueue dropped(judge, 1, context);  // destroyed without finish()
  dropped.push(0, job("a"));
}

}  // namespace
}  // namespace teeny
