// The forward pass against transformers' logits, and generation against itself in every way of cutting the work.
#include "teeny/runtime/runner.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "npz.h"
#include "runtime/session.h"

namespace teeny {
namespace {

const std::string kModel = TEENY_TEST_SOURCE_DIR "/configs/models/teeny-demo-7m";

class RunnerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    context = new Context;
    runner = load_runner(open_source(kModel), *context).release();
  }
  static std::vector<std::vector<int32_t>> prompts() {
    std::vector<std::vector<int32_t>> out;
    for (const char* text : {"def add_two(x: int) -> int:\n", "// Return the sum of arr.\nfunction sumAll(arr) {\n", "import", "class Reader:\n    def __init__(self",
                             "def is_even(n):\n    \"\"\"Return whether n is even.\n    \"\"\"\n", "x = [1, 2, 3]\n", "    return", "for i in range(10):\n", "def f(a, b):\n", "#"})
      out.push_back(runner->tokenizer().encode(text));
    return out;
  }
  static inline Context* context = nullptr;
  static inline Runner* runner = nullptr;
};

TEST_F(RunnerTest, LogitsAgreeWithTransformers) {
  const auto reference = testing::read_npz(TEENY_TEST_SOURCE_DIR "/tests/data/transformers_logits.npz");
  const auto& ids = reference.at("ids");
  const auto& rows = reference.at("rows");
  const auto& logits = reference.at("logits");
  const std::vector<int32_t> window(ids.as<int32_t>(), ids.as<int32_t>() + ids.shape[0]);
  const Tensor expected = at::from_blob(const_cast<float*>(logits.as<float>()), {logits.shape[0], logits.shape[1]}, at::kFloat);
  const Tensor row = at::from_blob(const_cast<int64_t*>(rows.as<int64_t>()), {rows.shape[0]}, at::kLong);
  Tensor got;
  runner->score({window}, [&](size_t, const Tensor& all) { got = all.index_select(0, row); }, *context);
  EXPECT_LT((got - expected).abs().max().item<float>(), 1e-3);
}

TEST_F(RunnerTest, ScoresDoNotDependOnThreads) {
  const auto windows = prompts();
  std::vector<std::vector<Tensor>> runs;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    std::vector<Tensor> logits(windows.size());
    runner->score(windows, [&](size_t i, const Tensor& l) { logits[i] = l; }, *context);
    runs.push_back(logits);
  }
  for (size_t r = 1; r < runs.size(); ++r)
    for (size_t i = 0; i < windows.size(); ++i) EXPECT_TRUE(runs[0][i].equal(runs[r][i])) << i;
}

TEST_F(RunnerTest, GreedyTextIsTheSameForEveryBatchAndInLockstep) {
  GenerateParams params;
  params.max_new_tokens = 24;
  const auto all = prompts();
  std::vector<std::vector<Completion>> runs;
  for (const int64_t batch : {1, 3, 8}) {
    params.batch = batch;
    size_t done = 0;
    runs.push_back(runner->generate(all, params, *context, [&](size_t, const Completion&) { ++done; }));
    EXPECT_EQ(done, all.size());
  }
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(runs[0][i].ids, runs[1][i].ids) << i;
    EXPECT_EQ(runs[0][i].ids, runs[2][i].ids) << i;
  }
  // The oracle: full forward passes without any cache.
  auto tokens = all[0];
  for (const int32_t id : runs[0][0].ids) {
    Tensor last;
    runner->score({tokens}, [&](size_t, const Tensor& l) { last = l[l.size(0) - 1].clone(); }, *context);
    ASSERT_EQ(last.argmax().item<int64_t>(), id);
    tokens.push_back(id);
  }
}

TEST_F(RunnerTest, StopsAtStringsAndEnds) {
  GenerateParams params;
  params.max_new_tokens = 96;
  params.stop = {"return"};
  const auto stopped = runner->generate(prompts(), params, *context);
  for (const auto& c : stopped) EXPECT_EQ(c.finish == "stop", c.text.find("return") != std::string::npos);
  EXPECT_EQ(stopped[0].finish, "stop");
  params.stop.clear();
  params.max_new_tokens = 3;
  for (const auto& c : runner->generate(prompts(), params, *context)) EXPECT_LE(c.ids.size(), 3u);
  params.max_new_tokens = 0;
  EXPECT_TRUE(runner->generate(prompts(), params, *context)[0].ids.empty());
}

TEST_F(RunnerTest, SamplingIsKeyedByPromptAndStep) {
  GenerateParams params;
  params.max_new_tokens = 12;
  params.temperature = 1;
  params.seed = 5;
  params.batch = 2;
  const auto a = runner->generate(prompts(), params, *context);
  params.batch = 8;
  const auto b = runner->generate(prompts(), params, *context);
  params.seed = 6;
  const auto c = runner->generate(prompts(), params, *context);
  int different = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].ids, b[i].ids) << i;
    different += a[i].ids != c[i].ids;
  }
  EXPECT_GT(different, 5);
}

TEST_F(RunnerTest, ASessionInPiecesIsTheSameAsInOne) {
  const auto tokens = runner->tokenizer().encode("def count_words(text: str) -> int:\n    return len(text.split())\n");
  const Tensor ids = at::tensor(tokens, at::kInt).to(at::kLong).unsqueeze(0).expand({2, -1}).contiguous();
  const auto whole = runner->open_session(2, 64), pieces = runner->open_session(2, 64);
  const auto* a = dynamic_cast<LockstepSession*>(whole.get());
  const auto* b = dynamic_cast<LockstepSession*>(pieces.get());
  const Tensor x = const_cast<LockstepSession*>(a)->forward(ids);
  const_cast<LockstepSession*>(b)->forward(ids.slice(1, 0, 7));
  const_cast<LockstepSession*>(b)->forward(ids.slice(1, 7, 8));
  const Tensor y = const_cast<LockstepSession*>(b)->forward(ids.slice(1, 8));
  EXPECT_TRUE(at::allclose(x, y, 1e-4, 1e-3));
  EXPECT_EQ(b->length(), int64_t(tokens.size()));
}

}  // namespace
}  // namespace teeny
