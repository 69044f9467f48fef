// Records, stdout and stderr, exit codes, outputs that are never overwritten.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <new>

#include "cli/fetch.h"
#include "cli/output.h"
#include "cli/resolve.h"
#include "cli/text.h"
#include "fake_engine.h"
#include "teeny/core/file.h"
#include "teeny/core/log.h"

namespace teeny::cli {
namespace {
namespace fs = std::filesystem;

class InFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("cli-" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    before_ = fs::current_path();
    fs::current_path(folder_);
  }
  void TearDown() override {
    fs::current_path(before_);
    fs::remove_all(folder_);
  }
  size_t entries() const { return size_t(std::distance(fs::directory_iterator(folder_), fs::directory_iterator())); }
  fs::path folder_, before_;
  FakeEngine engine_;
};

TEST_F(InFolder, JsonToStdoutIsNothingButTheRecord) {
  const auto result = teeny_run({"bench", "--json", "-"}, &engine_);
  ASSERT_EQ(result.code, 0) << result.err;
  const Json record = parse_json(result.out, "test", "stdout");
  EXPECT_EQ(record["command"], "bench");
  EXPECT_EQ(record["schema"], "teeny.result/1");
}

TEST_F(InFolder, JsonToAFileAndResultsToAFolder) {
  const auto result = teeny_run({"bench", "--json", "r.json", "--results", "runs/today"}, &engine_);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(read_json_file("r.json", "test")["command"], "bench");
  EXPECT_EQ(std::distance(fs::directory_iterator("runs/today"), fs::directory_iterator()), 1);
  EXPECT_NE(result.out.find("tokens/s"), std::string::npos);
}

TEST_F(InFolder, DestinationsAreCheckedBeforeTheWork) {
  std::ofstream("file") << "x";
  EXPECT_EQ(teeny_run({"bench", "--json", "."}, &engine_).code, 2);
  EXPECT_EQ(teeny_run({"bench", "--json", "file/r.json"}, &engine_).code, 2);
  EXPECT_EQ(teeny_run({"bench", "--results", "file"}, &engine_).code, 2);
  EXPECT_TRUE(engine_.calls.empty());
  EXPECT_EQ(entries(), 1u);
}

TEST_F(InFolder, CarbonFollowsFromEnergy) {
  engine_.change = [](Json& record) { record["energy"] = {{"source", "rapl"}, {"joules", 7.2e6}, {"idle_w", nullptr}}; };
  const auto result = teeny_run({"bench", "--json", "-", "--carbon-intensity", "300"}, &engine_);
  EXPECT_DOUBLE_EQ(parse_json(result.out, "test", "stdout")["energy"]["co2_g"].get<double>(), 600);
}

TEST_F(InFolder, FailedCheckIsPrintedKeptAndExitsFive) {
  engine_.change = [](Json& record) {
    record["status"] = "check-failed";
    record["warnings"].push_back({{"code", "check-failed"}, {"message", "lost 3.1 points, at most 2 were allowed"}});
  };
  const auto result = teeny_run({"bench", "--json", "r.json"}, &engine_);
  EXPECT_EQ(result.code, 5);
  EXPECT_NE(result.err.find("lost 3.1 points"), std::string::npos);
  EXPECT_NE(result.out.find("tokens/s"), std::string::npos);
  EXPECT_TRUE(fs::exists("r.json"));
}

TEST_F(InFolder, ExitCodesOfWhatIsThrown) {
  const auto code_of = [&](std::function<void()> thrower) {
    engine_.before = std::move(thrower);
    return teeny_run({"bench"}, &engine_);
  };
  EXPECT_EQ(code_of([] { throw usage_error("a", "b", "c"); }).code, 2);
  EXPECT_EQ(code_of([] { throw input_error("a", "b", "c"); }).code, 3);
  EXPECT_EQ(code_of([] { throw device_error("a", "b", "c"); }).code, 4);
  EXPECT_EQ(code_of([] { throw check_error("a", "b", "c"); }).code, 5);
  EXPECT_EQ(code_of([] { throw std::bad_alloc(); }).code, 4);
  EXPECT_EQ(code_of([] { throw std::runtime_error("CUDA out of memory. Tried to allocate 2 GiB"); }).code, 4);
  const auto bug = code_of([] { throw std::logic_error("surprise\nstack trace"); });
  EXPECT_EQ(bug.code, 1);
  EXPECT_NE(bug.err.find("please report"), std::string::npos);
  EXPECT_EQ(bug.err.find("stack trace"), std::string::npos);
  EXPECT_EQ(code_of([] { throw 7; }).code, 1);
  const auto stopped = code_of([] { throw Error(ErrorKind::Interrupted, "interrupted", "signal 2", "stopped"); });
  EXPECT_EQ(stopped.code, 130);
  EXPECT_NE(stopped.err.find("teeny bench"), std::string::npos);
}

TEST_F(InFolder, ControlCharactersOfFilesDoNotReachTheTerminal) {
  engine_.before = [] { throw input_error("gguf", "evil\x1b[2Jname", "is bad"); };
  const auto result = teeny_run({"bench"}, &engine_);
  EXPECT_EQ(result.err.find('\x1b'), std::string::npos);
  EXPECT_NE(result.err.find("\\x1b[2J"), std::string::npos);
  EXPECT_EQ(printable("a\xc2\x9b" "b\n", false), "a\\x9b" "b ");
}

TEST_F(InFolder, GenerateWritesTheTextOnly) {
  EXPECT_EQ(teeny_run({"generate", "--prompt", "x"}, &engine_).out, "hello\n");
}

TEST_F(InFolder, ColourFollowsThePolicy) {
  EXPECT_EQ(teeny_run({"bench"}, &engine_).out.find('\x1b'), std::string::npos);  // not a terminal
  EXPECT_NE(teeny_run({"bench", "--color", "always"}, &engine_).out.find('\x1b'), std::string::npos);
}

TEST_F(InFolder, DefaultOutputsAreNamedAfterModelMethodAndBits) {
  const auto out_of = [&](std::vector<std::string> args) {
    args.insert(args.begin(), "quantize");
    const auto result = teeny_run(args, &engine_);
    EXPECT_EQ(result.code, 0) << result.err;
    return engine_.quantized.out;
  };
  EXPECT_EQ(out_of({"--method", "awq", "--bits", "4"}), "./teeny-demo-7m-awq-4bit");
  EXPECT_EQ(out_of({"--method", "gptq", "--bits", "3", "--group", "64"}), "./teeny-demo-7m-gptq-3bit-g64");
  EXPECT_EQ(out_of({"--method", "gguf"}), "./teeny-demo-7m-gguf-4bit.gguf");
  EXPECT_EQ(out_of({"--method", "gguf", "--type", "q4_k_s"}), "./teeny-demo-7m-gguf-4bit-Q4_K_S.gguf");
  EXPECT_EQ(out_of({"--method", "gguf", "--type", "Q6_K"}), "./teeny-demo-7m-gguf-6bit.gguf");
  EXPECT_EQ(out_of({"--method", "int8"}), "./teeny-demo-7m-int8-8bit");
  EXPECT_EQ(entries(), 0u);
}

TEST_F(InFolder, DryRunNeedsNoEngineAndWritesNothing) {
  const auto result = teeny_run({"quantize", "--method", "awq", "--dry-run", "--json", "-"}, nullptr);
  ASSERT_EQ(result.code, 0) << result.err;
  const Json record = parse_json(result.out, "test", "stdout");
  EXPECT_TRUE(record["quantize"]["dry_run"].get<bool>());
  EXPECT_GT(record["quantize"]["tensors"].size(), 50u);
  EXPECT_GT(record["model"]["bytes"].get<int64_t>(), 1'000'000);
  check_record(record, "dry run");
  EXPECT_EQ(entries(), 0u);
}

TEST_F(InFolder, OutputsAreNeverOverwrittenUnasked) {
  fs::create_directories("model");
  std::ofstream("model/config.json") << "{}";
  fs::create_directories("photos");
  std::ofstream("photos/cat.jpg") << "x";
  const auto refused = [&](std::vector<std::string> inputs, const std::string& out, bool force) {
    try {
      check_output({out, force, inputs});
      return false;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Usage);
      return true;
    }
  };
  EXPECT_FALSE(refused({"model"}, "new", false));
  EXPECT_TRUE(refused({"other"}, "model", false));
  EXPECT_FALSE(refused({"other"}, "model", true));
  EXPECT_TRUE(refused({"model"}, "model", true)) << "input and output are the same";
  EXPECT_TRUE(refused({"model"}, "./x/../model/", true)) << "by another path";
  EXPECT_TRUE(refused({"model/config.json"}, "model", true)) << "the output holds the input";
  EXPECT_TRUE(refused({"model"}, "model/inside", false)) << "the output is inside the input";
  EXPECT_TRUE(refused({"model"}, "photos", true)) << "not a model";
  EXPECT_TRUE(refused({"elsewhere"}, ".", true));
  EXPECT_TRUE(refused({"elsewhere"}, "/", true));
  fs::create_symlink("model", "link");
  EXPECT_TRUE(refused({"model"}, "link", true)) << "through a link";
}

TEST_F(InFolder, InspectReadsTheShippedModelWithoutTheEngine) {
  const auto result = teeny_run({"inspect", "--json", "-"}, nullptr);
  ASSERT_EQ(result.code, 0) << result.err;
  const Json record = parse_json(result.out, "test", "stdout");
  check_record(record, "inspect");
  EXPECT_EQ(record["model"]["family"], "qwen2");
  EXPECT_EQ(record["inspect"]["spec"]["layers"], 8);
  EXPECT_DOUBLE_EQ(record["model"]["bits_per_weight"].get<double>(), 16);
  EXPECT_EQ(record["inspect"]["loaders"][0]["runtime"], "vLLM");
}

TEST_F(InFolder, FetchKeepsOnlyWhatWasPinned) {
  std::ofstream("source.jsonl") << "{}\n";
  Json manifest = {{"name", "set"}, {"files", {{{"path", "a.jsonl"}, {"url", "file://" + (folder_ / "source.jsonl").string()}, {"bytes", 3}, {"sha256", sha256_file("source.jsonl")}}}}};
  Context context;
  EXPECT_FALSE(set_is_present(manifest, "cache"));
  fetch_set(manifest, "cache", context);
  EXPECT_TRUE(set_is_present(manifest, "cache"));
  EXPECT_EQ(read_file("cache/set/a.jsonl"), "{}\n");
  fs::remove("cache/set/a.jsonl");
  manifest["files"][0]["sha256"] = std::string(64, '0');
  EXPECT_THROW(fetch_set(manifest, "cache", context), Error);
  EXPECT_TRUE(fs::is_empty("cache/set"));
  manifest["files"][0]["path"] = "../a.jsonl";
  EXPECT_THROW(fetch_set(manifest, "cache", context), Error);
}

TEST(Profiles, AreCompleteAndSourced) {
  const auto names = hardware_profiles();
  EXPECT_GE(names.size(), 10u);
  for (const auto& name : names) {
    const Json profile = read_json_file(path_join(path_join(config_directory(), "hw"), name + ".json"), "test");
    for (const char* key : {"name", "vendor", "memory_bytes", "memory_bandwidth_gb_s", "fp16_tflops", "bf16_tflops", "int8_tops", "fp32_tflops", "tdp_w", "cores", "source"})
      EXPECT_TRUE(profile.contains(key)) << name << " " << key;
    EXPECT_GT(profile["memory_bandwidth_gb_s"].get<double>(), 100) << name;
    EXPECT_FALSE(profile["source"].empty()) << name;
  }
}

TEST(Text, NumbersAndTables) {
  EXPECT_EQ(thousands(7348480), "7 348 480");
  EXPECT_EQ(thousands(-1000), "-1 000");
  EXPECT_EQ(thousands(999), "999");
  EXPECT_EQ(duration(0.25), "250 ms");
  EXPECT_EQ(duration(61), "1 min 01 s");
  EXPECT_EQ(duration(7320), "2 h 02 min");
  EXPECT_EQ(shell_quote("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_quote("--bits=4"), "--bits=4");
  Table table({"name", "n"});
  table.add({"é", "5"});
  table.add({"ab\x1b", "12"});
  EXPECT_EQ(table.str(0), "name     n\n------  --\né        5\nab\\x1b  12\n");
}

}  // namespace
}  // namespace teeny::cli
