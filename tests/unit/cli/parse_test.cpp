// From what is typed to what the engine is handed, and every refusal of the parser.
#include <gtest/gtest.h>

#include "cli/command.h"
#include "cli/options.h"
#include "fake_engine.h"

namespace teeny::cli {
namespace {

struct Refusal {
  std::vector<std::string> args;
  int code;
  const char* message;  // must be in it
};

class Refusals : public testing::TestWithParam<Refusal> {};

TEST_P(Refusals, NameWhatIsWrong) {
  FakeEngine engine;
  const auto result = teeny_run(GetParam().args, &engine);
  EXPECT_EQ(result.code, GetParam().code) << result.err;
  EXPECT_NE(result.err.find(GetParam().message), std::string::npos) << result.err;
  EXPECT_EQ(result.err.rfind("teeny: [", 0), 0u) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(engine.calls.empty()) << "the engine was reached";
}

INSTANTIATE_TEST_SUITE_P(
    Usage, Refusals,
    testing::Values(Refusal{{}, 2, "no command"}, Refusal{{"quantise"}, 2, "did you mean quantize?"}, Refusal{{"--quiet", "bench"}, 2, "before the command"},
                    Refusal{{"quantize"}, 2, "--method: is required"}, Refusal{{"quantize", "--methd", "awq"}, 2, "did you mean --method?"},
                    Refusal{{"quantize", "--method", "gtpq"}, 2, "did you mean gptq?"}, Refusal{{"quantize", "--method", "rtn", "--bits", "four"}, 2, "'four' is not a whole number"},
                    Refusal{{"quantize", "--method", "rtn", "--bits", "9"}, 2, "2 to 8, or 16"}, Refusal{{"quantize", "--method", "rtn", "--bits", "99"}, 2, "out of range"},
                    Refusal{{"quantize", "--method", "rtn", "--bits"}, 2, "--bits: needs a value"}, Refusal{{"quantize", "--method", "rtn", "--bits", "--force"}, 2, "but '--force' follows"},
                    Refusal{{"quantize", "--method", "rtn", "--method", "awq"}, 2, "is given 2 times"}, Refusal{{"quantize", "--method", "rtn", "--sym", "--asym"}, 2, "contradicts"},
                    Refusal{{"quantize", "--method", "rtn", "surplus"}, 2, "surplus: was not expected"}, Refusal{{"quantize", "--method", "rtn", "--seed", "-1"}, 2, "0 or more"},
                    Refusal{{"quantize", "--method", "rtn", "--device", "tpu"}, 2, "is not a device"}, Refusal{{"quantize", "--method", "rtn", "--out", ""}, 2, "--out: is empty"},
                    Refusal{{"quantize", "--method", "gguf", "--type", "Q4_K_M", "--bits", "5"}, 2, "contradicts --type"},
                    Refusal{{"quantize", "--method", "awq", "--type", "Q4_K_M"}, 2, "is a GGUF type"}, Refusal{{"quantize", "--method", "rtn", "--granularity", "channel", "--group", "64"}, 2, "no meaning"},
                    Refusal{{"convert", "--format", "gguf"}, 2, "--out: is required"}, Refusal{{"bench", "--hw", "rtx4099"}, 2, "did you mean rtx4090?"},
                    Refusal{{"bench", "--prompt", "512,,8"}, 2, "'' is not a whole number"}, Refusal{{"bench", "--fail-if-slower", "5"}, 2, "needs --baseline"},
                    Refusal{{"eval", "--tasks", "ppl,kdl"}, 2, "did you mean kld?"}, Refusal{{"eval", "--tasks", "kld"}, 2, "needs --reference"},
                    Refusal{{"eval", "--model", "teeny-demo-7m", "surplus"}, 2, "surplus: was not expected"}, Refusal{{"bench", "--model", "a", "--model", "b"}, 2, "is given 2 times"},
                    Refusal{{"eval", "--fail-if-loss", "2"}, 2, "needs --reference"}, Refusal{{"eval", "--tasks", "demo-code", "--pass-at", "1,10"}, 2, "--samples-per-task 10"},
                    Refusal{{"eval", "--samples-per-task", "5"}, 2, "temperature 0"}, Refusal{{"eval", "--languages", "cpp"}, 2, "humaneval-mul"}, Refusal{{"generate"}, 2, "--prompt: is required"},
                    Refusal{{"generate", "--prompt", ""}, 2, "--prompt: is empty"}, Refusal{{"completion", "tcsh"}, 2, "is not one of bash"}, Refusal{{"report"}, 2, "needs result records"}));

INSTANTIATE_TEST_SUITE_P(
    Input, Refusals,
    testing::Values(Refusal{{"inspect", "--model", "no-such-thing"}, 3, "no such file or directory"}, Refusal{{"inspect", "--model", "teeny-demo-7n"}, 3, "did you mean teeny-demo-7m?"},
                    Refusal{{"bench", "--model", "runs/absent.gguf"}, 3, "an id of the Hugging Face hub (org/name)"},
                    Refusal{{"quantize", "--method", "rtn", "--bits", "5"}, 3, "nearest"}, Refusal{{"quantize", "--method", "gguf", "--bits", "7"}, 3, "nearest"},
                    Refusal{{"quantize", "--method", "gptq", "--calibration", "absent.txt"}, 3, "absent.txt: no such file"},
                    Refusal{{"quantize", "--method", "gptq", "--group", "100"}, 3, "100"}, Refusal{{"eval", "--data", "absent.jsonl"}, 3, "absent.jsonl"}));

INSTANTIATE_TEST_SUITE_P(
    NotAvailableYet, Refusals,
    testing::Values(Refusal{{"quantize", "--method", "gptq", "--target-bpw", "1"}, 3, "is below what gptq can be"}, Refusal{{"quantize", "--method", "gptq", "--target-size", "9GB"}, 3, "is above what gptq can be"},
                    Refusal{{"quantize", "--method", "gptq", "--act-bits", "8"}, 3, "int8 activations go with --bits 8"}, Refusal{{"quantize", "--method", "awq", "--sparsity", "2:4"}, 3, "use --method gptq"},
                    Refusal{{"bench", "--tensor-parallel", "2"}, 3, "not available"}));

TEST(Parse, HandsTheEngineWhatWasTyped) {
  FakeEngine engine;
  const auto result = teeny_run({"quantize", "--method", "GPTQ", "--bits=3", "--group", "64", "--asym", "--format", "gptq-v2", "--out", testing::TempDir() + "/q-typed", "--damp", "0.1", "--mse",
                                 "--no-act-order", "--threads", "3", "--seed", "7", "--device", "cpu", "--quiet"}, &engine);
  ASSERT_EQ(result.code, 0) << result.err;
  const auto& o = engine.quantized;
  EXPECT_EQ(o.method, "gptq");
  EXPECT_EQ(o.bits, 3);
  EXPECT_EQ(o.group, 64);
  EXPECT_EQ(o.symmetric, std::optional<bool>(false));
  EXPECT_EQ(o.format, "gptq-v2");
  EXPECT_DOUBLE_EQ(o.damp, 0.1);
  EXPECT_TRUE(o.mse);
  EXPECT_FALSE(o.act_order);
  EXPECT_EQ(o.args.front(), "teeny");
  EXPECT_EQ(engine.threads, 3);
  EXPECT_EQ(engine.seed, 7u);
  EXPECT_EQ(engine.device, "cpu");
}

TEST(Parse, ModelLeftOutIsTheShippedOne) {
  FakeEngine engine;
  ASSERT_EQ(teeny_run({"bench"}, &engine).code, 0);
  EXPECT_NE(engine.benched.model.find("models/teeny-demo-7m"), std::string::npos);
  EXPECT_EQ(engine.benched.prompt, std::vector<int64_t>{512});
  ASSERT_EQ(teeny_run({"bench", "--model", "teeny-demo-7m", "--prompt", "1,2,3"}, &engine).code, 0);
  EXPECT_EQ(engine.benched.prompt, (std::vector<int64_t>{1, 2, 3}));
}

TEST(Parse, EvalTasksFollowTheReference) {
  FakeEngine engine;
  ASSERT_EQ(teeny_run({"eval"}, &engine).code, 0);
  EXPECT_EQ(engine.evaluated.tasks, std::vector<std::string>{"ppl"});
  ASSERT_EQ(teeny_run({"eval", "--reference", "teeny-demo-7m"}, &engine).code, 0);
  EXPECT_EQ(engine.evaluated.tasks, (std::vector<std::string>{"ppl", "kld"}));
}

TEST(Parse, EvalTakesSeveralModels) {
  FakeEngine engine;
  ASSERT_EQ(teeny_run({"eval", "--model", "teeny-demo-7m", "--tasks", "ppl", "--model", "teeny-demo-7m"}, &engine).code, 0);
  ASSERT_EQ(engine.evaluated.also.size(), 1u);
  EXPECT_EQ(engine.evaluated.also[0], engine.evaluated.model);
  ASSERT_EQ(teeny_run({"eval"}, &engine).code, 0);
  EXPECT_TRUE(engine.evaluated.also.empty());
}

// A check that one of several models failed fails the command.
TEST(Parse, AFailedCheckOfAnyModelIsExit5) {
  FakeEngine engine;
  engine.change = [](Json& record) {
    Json other = record;
    other["status"] = "check-failed";
    other["warnings"] = {{{"code", "check-failed"}, {"message", "second: too much is lost"}}};
    record["variants"] = {other};
  };
  const auto result = teeny_run({"eval"}, &engine);
  EXPECT_EQ(result.code, 5);
  EXPECT_NE(result.err.find("second: too much is lost"), std::string::npos);
}

TEST(Parse, PromptsMayLookLikeAnything) {
  FakeEngine engine;
  for (const char* prompt : {"[1, 2]", "--chat", "{}", "'quoted'", "%s", "-1"}) {
    ASSERT_EQ(teeny_run({"generate", "--prompt", prompt}, &engine).code, 0);
    EXPECT_EQ(engine.generated.prompt, prompt);
  }
}

TEST(Parse, KnobsOfAnotherMethodAreSaid) {
  FakeEngine engine;
  const auto result = teeny_run({"quantize", "--method", "rtn", "--seq-len", "512", "--out", testing::TempDir() + "/q-idle"}, &engine);
  ASSERT_EQ(result.code, 0);
  ASSERT_EQ(engine.warnings.size(), 1u);
  EXPECT_EQ(engine.warnings[0].code, "option-unused");
}

TEST(Parse, Sizes) {
  EXPECT_EQ(parse_bytes("9GB", "x"), 9'000'000'000u);
  EXPECT_EQ(parse_bytes("1.5 MiB", "x"), 1572864u);
  EXPECT_EQ(parse_bytes("512", "x"), 512u);
  for (const char* bad : {"", "GB", "9XB", "-1GB", "1e9", "9 9", "99999999999TB", "0"}) EXPECT_THROW(parse_bytes(bad, "x"), Error) << bad;
}

TEST(Parse, Nearest) {
  EXPECT_EQ(nearest("--temp", {"--temperature", "--top-p"}), "--temperature");
  EXPECT_EQ(nearest("bnech", {"bench", "eval"}), "bench");
  EXPECT_EQ(nearest("xyzzy", {"bench", "eval"}), "");
}

TEST(Help, OpensWithAnExampleAndNamesEveryOption) {
  for (const auto& entry : command_table()) {
    const auto result = teeny_run({entry.name, "--help"}, nullptr);
    EXPECT_EQ(result.code, 0);
    EXPECT_EQ(result.out.rfind("Example:\n  teeny " + std::string(entry.name), 0), 0u) << entry.name;
    const Declared declared = declare(entry);
    for (const auto& info : declared.options->table())
      for (const auto& name : info->names) EXPECT_NE(result.out.find(name), std::string::npos) << entry.name << " " << name;
    EXPECT_EQ(teeny_run({"help", entry.name}, nullptr).out, result.out);
  }
}

// The names that docs and scripts rely on.
TEST(Help, HasTheFixedNames) {
  const std::vector<std::pair<const char*, std::vector<const char*>>> fixed{
      {"quantize", {"--model", "--method", "--bits", "--type", "--granularity", "--group", "--sym", "--asym", "--format", "--act-bits", "--act", "--smooth", "--calibration", "--samples", "--seq-len",
                    "--seed", "--importance", "--save-importance", "--recipe", "--target-bpw", "--target-size", "--max-ppl-increase", "--save-sensitivity", "--desc-act", "--damp", "--block", "--mse",
                    "--true-sequential", "--grid", "--duo-scaling", "--clip", "--dry-run", "--resume", "--benchmark", "--humaneval", "--out", "--force", "--exact-llama-cpp", "--sparsity", "--isa",
                    "--allow-nonfinite", "--hash", "--json", "--results", "--device", "--threads", "--quiet", "--verbose", "--log-level", "--no-progress", "--color", "--carbon-intensity"}},
      {"convert", {"--model", "--format", "--dtype", "--type", "--out", "--dry-run"}},
      {"bench", {"--prompt", "--generate", "--depth", "--batch", "--repetitions", "--warmup", "--device", "--threads", "--gpu-layers", "--tensor-parallel", "--hw", "--baseline", "--fail-if-slower"}},
      {"eval", {"--tasks", "--reference", "--ctx", "--text", "--languages", "--samples-per-task", "--pass-at", "--temperature", "--seed", "--max-new-tokens", "--batch", "--limit", "--data", "--timeout",
                "--save-completions", "--score-completions", "--protocol", "--ppl-protocol", "--resume", "--fail-if-loss", "--require-loss-below", "--equivalence-margin", "--i-accept-unsandboxed"}},
      {"report", {"--out", "--comparison-type"}},
      {"generate", {"--prompt", "--chat", "--max-new-tokens", "--temperature", "--top-p", "--seed", "--gpu-layers"}},
      {"inspect", {"--model", "--verify"}},
      {"doctor", {"--fetch"}}};
  for (const auto& entry : command_table()) {
    const Declared declared = declare(entry);
    for (const auto& [command, names] : fixed)
      if (std::string(command) == entry.name)
        for (const char* name : names) {
          const auto& table = declared.options->table();
          EXPECT_TRUE(std::any_of(table.begin(), table.end(), [&](const auto& info) { return info->long_name() == name; })) << command << " lacks " << name;
        }
  }
}

TEST(Completion, KnowsEveryCommandAndOption) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto result = teeny_run({"completion", shell}, nullptr);
    ASSERT_EQ(result.code, 0) << result.err;
    for (const auto& entry : command_table()) {
      EXPECT_NE(result.out.find(entry.name), std::string::npos);
      const Declared declared = declare(entry);
      for (const auto& info : declared.options->table()) {
        const std::string& name = info->long_name();
        if (name[0] == '-') { EXPECT_NE(result.out.find(name.substr(2)), std::string::npos) << shell << " " << name; }
      }
    }
  }
}

}  // namespace
}  // namespace teeny::cli
