// `teeny bench` as typed: the shipped model, every default.
#include <gtest/gtest.h>

#include "schema.h"
#include "teeny/bench/bench.h"
#include "teeny/core/file.h"

namespace teeny {
namespace {

TEST(SlowShippedModelBench, DefaultsGiveACompleteRecord) {
  BenchOptions options;
  options.model = path_join(config_directory(), "models/teeny-demo-7m");
  Context context;
  const Json record = run_bench(options, context);
  EXPECT_EQ(testing::Schema::results().explain(record), "");
  ASSERT_EQ(record["bench"]["cases"].size(), 3u);
  for (const auto& c : record["bench"]["cases"]) {
    EXPECT_EQ(c["kind"], "measured");
    EXPECT_EQ(c["samples_tokens_per_s"].size(), 5u);
    EXPECT_GT(c["median"].get<double>(), 1);
  }
  EXPECT_LT(record["seconds"].get<double>(), 300);  // 20 s on two idle cores; tests run on busy ones
}

}  // namespace
}  // namespace teeny
