// The file of sensitivities: what is written is read back, anything else is refused with the place.
#include "teeny/plan/sensitivity.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny {
namespace {

Sensitivity sample() {
  Sensitivity s;
  s.fingerprint = "ab", s.name = "model", s.parameters = 1000, s.method = "gguf", s.format = "gguf";
  s.calibration = {{"source", "text"}};
  s.windows = 8, s.tokens = 4096;
  s.groups = {{"model.layers.0.mlp.up_proj", {"model.layers.0.mlp.up_proj"}, {{"q4_k", 4.5, 1e-4, 2e-3, true, true}, {"plain", 16, 0, 0, false, false}}}};
  s.checks = {{"q4_k", 0.01, 0.012, 0.011}};
  return s;
}

TEST(SensitivityFile, WhatIsWrittenIsReadBack) {
  const Sensitivity before = sample(), after = parse_sensitivity(dump_json(sensitivity_json(before)), "file");
  EXPECT_EQ(dump_json(sensitivity_json(after)), dump_json(sensitivity_json(before)));
  ASSERT_EQ(after.groups.size(), 1u);
  EXPECT_EQ(after.groups[0].candidates[0].label, "q4_k");
  EXPECT_EQ(after.groups[0].candidates[0].kld, 1e-4);
  EXPECT_TRUE(after.groups[0].candidates[0].importance);
  EXPECT_EQ(after.checks[0].measured, 0.012);
}

TEST(SensitivityFile, DamageIsRefusedWithItsPlace) {
  struct Case {
    const char* expected;
    std::function<void(Json&)> damage;
  };
  const Case cases[] = {
      {"schema", [](Json& j) { j["schema"] = "teeny.sensitivity/2"; }},
      {"no \"groups\"", [](Json& j) { j.erase("groups"); }},
      {"has no groups", [](Json& j) { j["groups"] = Json::array(); }},
      {"\"groups\" must be a list", [](Json& j) { j["groups"] = 3; }},
      {"group 1", [](Json& j) { j["groups"][0] = "x"; }},
      {"\"name\" must be a string", [](Json& j) { j["groups"][0]["name"] = 1; }},
      {"hold names", [](Json& j) { j["groups"][0]["tensors"][0] = Json::object(); }},
      {"no tensors", [](Json& j) { j["groups"][0]["tensors"] = Json::array(); }},
      {"no candidates", [](Json& j) { j["groups"][0]["candidates"] = Json::array(); }},
      {"candidate 1: \"kld\"", [](Json& j) { j["groups"][0]["candidates"][0]["kld"] = -1; }},
      {"candidate 1: \"kld\"", [](Json& j) { j["groups"][0]["candidates"][0]["kld"] = "0.1"; }},
      {"candidate 2: \"measured\"", [](Json& j) { j["groups"][0]["candidates"][1]["measured"] = 1; }},
      {"\"q4_k\" twice", [](Json& j) { j["groups"][0]["candidates"][1]["encoding"] = "q4_k"; }},
      {"twice", [](Json& j) { j["groups"].push_back(j["groups"][0]); }},
      {"\"parameters\"", [](Json& j) { j["model"]["parameters"] = 1.5; }},
      {"model: is no object", [](Json& j) { j["model"] = Json::array(); }},
      {"check 1", [](Json& j) { j["checks"][0] = 1; }},
      {"\"perplexity_increase\"", [](Json& j) { j["checks"][0]["perplexity_increase"] = -2; }},
  };
  for (const auto& c : cases) {
    Json json = sensitivity_json(sample());
    c.damage(json);
    try {
      parse_sensitivity(dump_json(json), "file");
      ADD_FAILURE() << "accepted, expected: " << c.expected;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Input) << error.what();
      EXPECT_NE(std::string(error.what()).find(c.expected), std::string::npos) << error.what() << "\nexpected: " << c.expected;
      EXPECT_NE(std::string(error.what()).find("file"), std::string::npos) << error.what();
    }
  }
  for (const char* text : {"", "{", "[]", "null", "{\"schema\": 1}", "{\"a\": 1e999}"}) EXPECT_THROW(parse_sensitivity(text, "file"), Error) << text;
}

TEST(SensitivityFile, TheSumIsCorrectedByWhatWholeModelsLost) {
  Sensitivity s = sample();
  EXPECT_NEAR(s.total(0.01), 0.012, 1e-12);
  EXPECT_NEAR(s.total(0.001), 0.0012, 1e-12);  // below the checks the nearest ratio holds
  s.checks = {{"q8_0", 1e-4, 1e-4, 0}, {"q2_k", 1e-2, 4e-2, 0}};
  EXPECT_NEAR(s.total(1e-3), 2e-3, 1e-9);  // halfway in logs: ratio sqrt(1 * 4)
  EXPECT_NEAR(s.total(1), 4, 1e-9);
  s.checks.clear();
  EXPECT_EQ(s.total(0.5), 0.5);
  EXPECT_EQ(s.total(0), 0);
}

TEST(SensitivityFile, TheFingerprintFollowsWeightsNotFiles) {
  namespace fs = std::filesystem;
  const std::string model = TEENY_TEST_SOURCE_DIR "/configs/models/teeny-demo-7m";
  const std::string copy = (fs::temp_directory_path() / fmt::format("teeny-fingerprint-{}", ::getpid())).string();
  fs::create_directories(copy);
  for (const char* name : {"config.json", "model.safetensors"}) fs::copy_file(path_join(model, name), path_join(copy, name), fs::copy_options::overwrite_existing);
  fs::last_write_time(path_join(copy, "model.safetensors"), fs::file_time_type::clock::now() - std::chrono::hours(5));
  const std::string original = weights_fingerprint(*open_source(model));
  EXPECT_EQ(weights_fingerprint(*open_source(copy)), original);
  {
    std::string bytes = read_file(path_join(copy, "model.safetensors"));
    bytes[bytes.size() - 2] = char(bytes[bytes.size() - 2] ^ 1);  // of the last tensor
    write_file(path_join(copy, "model.safetensors"), bytes);
  }
  const auto last = open_source(copy);
  const bool within = last->tensors().back().bytes <= 4096;  // the end of a longer tensor is not looked at
  EXPECT_EQ(weights_fingerprint(*last) == original, !within);
  fs::remove_all(copy);
}

}  // namespace
}  // namespace teeny
