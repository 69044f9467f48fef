#include "bench/projection.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "teeny/core/error.h"

namespace teeny {
namespace {

// performance.md's shape of question: 4-bit weights of a 14B model on a card with 1008 GB/s.
ModelCost big_model() {
  ModelCost cost;
  cost.file_bytes = 9930000000;
  cost.decode_bytes = 8370000000;
  cost.kv_bytes_per_token = 196608;
  cost.macs_per_token = 13991000000;
  cost.attention_macs = 2.0 * 48 * 40 * 128;
  cost.activation_bytes = 2 * 13824 * 2;
  return cost;
}

Hardware card() {
  Hardware h;
  h.name = "card";
  h.memory_bytes = 24ull << 30;
  h.memory_gb_s = 1008;
  h.fp16_tflops = 165;
  return h;
}

TEST(Projection, DecodeIsBytesOverBandwidth) {
  const auto p = project(card(), big_model(), {1, 1, ""}, {0, 128, 0, 1});
  EXPECT_EQ(p.bound, "bandwidth");
  EXPECT_NEAR(1 / p.step_s, 120.2, 0.3);  // the ceiling of the table of limits: 120 tokens/s
  EXPECT_TRUE(p.fits);
  const auto half = project(card(), big_model(), {0.5, 1, ""}, {0, 128, 0, 1});
  EXPECT_NEAR(half.step_s, 2 * p.step_s, 1e-12);
}

TEST(Projection, DepthReadsTheCache) {
  const auto shallow = project(card(), big_model(), {1, 1, ""}, {0, 2, 0, 1}), deep = project(card(), big_model(), {1, 1, ""}, {0, 2, 10000, 1});
  EXPECT_NEAR(deep.step_s - shallow.step_s, 10000 * 196608.0 / 1008e9, 1e-9);
}

TEST(Projection, PrefillAndLargeBatchesAreBoundByArithmetic) {
  const auto prefill = project(card(), big_model(), {1, 1, ""}, {2048, 0, 0, 1});
  const double macs = 2048 * (13991e6 + 2.0 * 48 * 40 * 128 * 1024);
  EXPECT_NEAR(prefill.prefill_s, 2 * macs / 165e12, 1e-9);
  EXPECT_EQ(project(card(), big_model(), {1, 1, ""}, {0, 2, 0, 256}).bound, "compute");
}

TEST(Projection, WhatDoesNotFitIsSaid) {
  EXPECT_FALSE(project(card(), big_model(), {1, 1, ""}, {0, 128, 100000, 1}).fits);  // 19.7 GB of cache
  ModelCost f16 = big_model();
  f16.file_bytes = 29540000000;
  EXPECT_FALSE(project(card(), f16, {1, 1, ""}, {0, 128, 0, 1}).fits);
}

TEST(Efficiency, IsClampedAndSaid) {
  const auto e = clamp_efficiency(3.2, 0.4, true);
  EXPECT_EQ(e.bandwidth, 1);
  EXPECT_EQ(e.compute, 0.4);
  EXPECT_NE(e.note.find("measured 3.20, counted as 1"), std::string::npos);
  EXPECT_NE(e.note.find("cache"), std::string::npos);
  const auto unknown = clamp_efficiency(0, 0, false);
  EXPECT_EQ(unknown.bandwidth, 1);
  EXPECT_NE(unknown.note.find("not measured"), std::string::npos);
}

TEST(LoadHardware, RefusesWhatIsNoProfile) {
  const auto folder = std::filesystem::temp_directory_path() / ("teeny-hw-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto path = (folder / "x.json").string();
  const auto message = [&](const std::string& text) -> std::string {
    write_file(path, text);
    try {
      load_hardware(path);
    } catch (const Error& e) {
      EXPECT_EQ(int(e.kind()), int(ErrorKind::Input));
      return e.what();
    }
    return "";
  };
  EXPECT_NE(message("{}").find("\"memory_bytes\""), std::string::npos);
  EXPECT_NE(message(R"({"memory_bytes": -5})").find("above 0"), std::string::npos);
  EXPECT_NE(message("[]").find("not an object"), std::string::npos);
  EXPECT_EQ(message(R"({"memory_bytes": 1, "memory_bandwidth_gb_s": 1, "fp16_tflops": 1})"), "");
  EXPECT_THROW(load_hardware("../../etc/passwd"), Error);
  std::filesystem::remove_all(folder);
}

TEST(IsHardware, MatchesByPartOfTheName) {
  Hardware h = card();
  h.match = {"RTX 4090"};
  EXPECT_TRUE(is_hardware(h, "NVIDIA GeForce RTX 4090"));
  EXPECT_FALSE(is_hardware(h, "NVIDIA GeForce RTX 4080"));
  EXPECT_FALSE(is_hardware(h, ""));
}

// Every profile that ships can be read and is plausible.
TEST(LoadHardware, EveryShippedProfileIsReadable) {
  const std::filesystem::path folder = std::string(TEENY_TEST_SOURCE_DIR) + "/configs/hw";
  ASSERT_TRUE(std::filesystem::exists(folder));
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    const auto h = load_hardware(entry.path().string());
    EXPECT_GT(h.memory_gb_s, 10) << entry.path();
    EXPECT_GT(h.memory_bytes, 1ull << 30) << entry.path();
    EXPECT_FALSE(h.match.empty()) << entry.path();
  }
}

}  // namespace
}  // namespace teeny
