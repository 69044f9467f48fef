#include <gtest/gtest.h>

#include <filesystem>

#include "bench/baseline.h"
#include "bench/bench.h"
#include "bench/rates.h"
#include "bench/summary.h"
#include "bench/timer.h"
#include "fake_runner.h"
#include "schema.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {

// Prefill takes 1 ms a token, a decode step 10 ms; the fake session only moves the clock when it is synchronized.
class BenchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder = (std::filesystem::temp_directory_path() / ("teeny-bench-" + std::to_string(::getpid()))).string();
    std::filesystem::create_directories(folder);
    services.open = [](const std::string& path) { return std::make_unique<testing::FakeSource>(path); };
    services.load = [this](std::unique_ptr<TensorSource> source, Context&) {
      auto runner = std::make_unique<testing::FakeRunner>(std::move(source));
      runner->time = &time;
      runner->speed = speed;
      runner->bytes_per_step = 1000000;
      time.now += 3;
      return runner;
    };
    services.clock = [this] { return time.now; };
    services.rates = [](const Context&) { return MachineRates{1.0, 0.001, "f32"}; };  // 1 GB/s, 1 GFLOP/s
    options.model = "model";
    options.prompt = {100};
    options.generate = {20};
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  Json run() {
    Context context;
    const Json record = run_bench_with(options, context, services);
    EXPECT_EQ(testing::Schema::results().explain(record), "");
    return record;
  }
  std::string error_of(ErrorKind kind) {
    Context context;
    try {
      run_bench_with(options, context, services);
    } catch (const Error& e) {
      EXPECT_EQ(int(e.kind()), int(kind)) << e.what();
      return e.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }

  testing::FakeTime time;
  testing::FakeSpeed speed;
  BenchServices services;
  BenchOptions options;
  std::string folder;
};

TEST_F(BenchTest, RatesAreTokensOverSeconds) {
  const Json record = run();
  const Json& cases = record["bench"]["cases"];
  ASSERT_EQ(cases.size(), 3u);
  EXPECT_EQ(cases[0]["name"], "prefill 100");
  EXPECT_EQ(cases[0]["kind"], "measured");
  EXPECT_NEAR(cases[0]["median"].get<double>(), 1000, 1e-6);
  EXPECT_NEAR(cases[0]["ttft_ms"].get<double>(), 100, 1e-6);
  EXPECT_EQ(cases[0]["samples_tokens_per_s"].size(), 5u);  // warm-up is not kept
  EXPECT_EQ(cases[1]["name"], "decode 20");
  EXPECT_NEAR(cases[1]["median"].get<double>(), 100, 1e-6);
  EXPECT_NEAR(cases[1]["mad"].get<double>(), 0, 1e-6);
  EXPECT_NEAR(cases[1]["token_latency_ms"]["p99"].get<double>(), 10, 1e-6);
  EXPECT_NEAR(cases[1]["bandwidth_gb_s"].get<double>(), 0.1, 1e-9);  // 1 MB a step, 100 steps a second
  EXPECT_NEAR(cases[1]["bandwidth_fraction"].get<double>(), 0.1, 1e-9);
  EXPECT_EQ(cases[2]["name"], "response 100+20");
  EXPECT_NEAR(cases[2]["response_s"]["mean"].get<double>(), 0.1 + 19 * 0.01, 1e-9);  // the prompt gives the first token
  EXPECT_NEAR(cases[2]["ttft_ms"].get<double>(), 100, 1e-6);
  EXPECT_NEAR(record["bench"]["load_seconds"].get<double>(), 3, 1e-9);
}

TEST_F(BenchTest, DepthAndBatchCount) {
  speed.depth_s = 1e-4;
  options.depth = {0, 1000};
  options.batch = {1, 4};
  options.prompt = {0};
  options.generate = {2};
  const Json record = run();
  const Json& cases = record["bench"]["cases"];
  ASSERT_EQ(cases.size(), 4u);
  const auto step = [&](double depth) { return 0.01 + 1e-4 * depth; };
  const auto rate = [&](double depth) { return 2 / (step(depth + 1) + step(depth + 2)); };  // one token stands before the first step
  EXPECT_NEAR(cases[0]["median"].get<double>(), rate(0), 1e-6);
  EXPECT_NEAR(cases[1]["median"].get<double>(), rate(1000), 1e-6);
  EXPECT_NEAR(cases[2]["median"].get<double>(), 4 * rate(0), 1e-6);  // tokens of the whole batch
  EXPECT_EQ(cases[3]["depth"], 1000);
  EXPECT_EQ(cases[3]["batch"], 4);
  EXPECT_NEAR(cases[2]["bandwidth_gb_s"].get<double>(), 1e-3 * rate(0), 1e-9);  // a step reads the weights once for all four
}

TEST_F(BenchTest, EqualPartsOfCombinationsAreTimedOnce) {
  options.prompt = {100, 200};
  options.generate = {20, 30};
  std::vector<std::string> names;
  const Json record = run();
  for (const auto& c : record["bench"]["cases"]) names.push_back(c["name"]);
  EXPECT_EQ(names, (std::vector<std::string>{"prefill 100", "prefill 200", "decode 20", "decode 30", "response 100+20", "response 100+30", "response 200+20",
                                             "response 200+30"}));
}

TEST_F(BenchTest, ImpossibleRequestsAreUsageErrors) {
  options.depth = {4000};
  EXPECT_NE(error_of(ErrorKind::Usage).find("context is 4096"), std::string::npos);
  options.depth = {-1};
  EXPECT_NE(error_of(ErrorKind::Usage).find("--depth"), std::string::npos);
  options.depth = {0};
  options.prompt = options.generate = {0};
  EXPECT_NE(error_of(ErrorKind::Usage).find("nothing to time"), std::string::npos);
  options.prompt = {1};
  options.repetitions = 0;
  EXPECT_NE(error_of(ErrorKind::Usage).find("--repetitions"), std::string::npos);
  options.repetitions = 1;
  options.fail_if_slower = 5;
  EXPECT_NE(error_of(ErrorKind::Usage).find("--baseline"), std::string::npos);
  options.fail_if_slower = -1;
  options.hardware = "no-such-gpu";
  EXPECT_NE(error_of(ErrorKind::Usage).find("no-such-gpu"), std::string::npos);
}

TEST_F(BenchTest, ProjectedRowsStandBesideMeasuredOnesAndAreLabelled) {
  const std::string profile = folder + "/sample-gpu.json";
  write_file(profile, R"({"name": "Sample GPU", "match": ["Sample GPU"], "memory_bytes": 24000000000, "memory_bandwidth_gb_s": 1000, "fp16_tflops": 100, "int8_tops": null})");
  options.hardware = profile;
  const Json record = run();
  const Json& cases = record["bench"]["cases"];
  ASSERT_EQ(cases.size(), 6u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(cases[i]["kind"], "measured");
    EXPECT_NE(cases[i]["hardware"], "sample-gpu");
    EXPECT_EQ(cases[i + 3]["kind"], "projected");
    EXPECT_EQ(cases[i + 3]["hardware"], "sample-gpu");
    EXPECT_EQ(cases[i + 3]["name"], cases[i]["name"]);
    EXPECT_TRUE(cases[i + 3]["samples_tokens_per_s"].empty());
    EXPECT_EQ(cases[i + 3]["fits"], true);
  }
  // 10 % of 1000 GB/s; the file's weights are (256 + 16) * 8 * 2 bytes, the cache 2 * 1 * 4 * 2 bytes a token, 10 tokens in the middle.
  const double bytes = 272 * 8 * 2 + 10 * 2 * 4 * 2;
  EXPECT_NEAR(cases[4]["median"].get<double>(), 100e9 / bytes, 1e-3 * 100e9 / bytes);
  EXPECT_NE(cases[4]["details"]["assumption"].get<std::string>().find("0.10 of its read bandwidth"), std::string::npos);
}

TEST_F(BenchTest, ABaselineDecides) {
  Json before = run();
  write_file(folder + "/before.json", dump_json(before));
  options.baseline = folder + "/before.json";
  options.fail_if_slower = 5;
  Json same = run();
  EXPECT_EQ(same["status"], "ok");
  EXPECT_EQ(same["bench"]["baseline"]["cases"].size(), 3u);
  speed.step_s = 0.0111;  // 9.9 % fewer tokens a second
  const Json slow = run();
  EXPECT_EQ(slow["status"], "check-failed");
  EXPECT_EQ(slow["bench"]["baseline"]["check"]["passed"], false);
  EXPECT_NE(slow["bench"]["baseline"]["check"]["message"].get<std::string>().find("decode 20: 90.1 tokens/s, 100.0 in the baseline, 9.9 % slower"), std::string::npos)
      << slow["bench"]["baseline"]["check"]["message"];
  options.fail_if_slower = 15;
  EXPECT_EQ(run()["status"], "ok");
  options.prompt = {7};
  options.generate = {0};
  EXPECT_NE(error_of(ErrorKind::Input).find("no measured case in common"), std::string::npos);
}

TEST(Summary, VariationIsRelative) {
  EXPECT_NEAR(variation_of({9, 10, 11}), 0.1, 1e-12);
  EXPECT_EQ(variation_of({5}), 0);
}

TEST(MachineRatesSlow, ArePlausible) {
  Context context;
  const auto rates = measure_rates(context);
  EXPECT_GT(rates.read_gb_s, 0.5);
  EXPECT_LT(rates.read_gb_s, 20000);
  EXPECT_GT(rates.gemm_tflops, 0.001);
}

}  // namespace
}  // namespace teeny
