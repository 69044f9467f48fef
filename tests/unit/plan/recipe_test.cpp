#include "plan/recipe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny {
namespace {

const std::string kModel = TEENY_TEST_SOURCE_DIR "/configs/models/teeny-demo-7m";

class Recipe : public ::testing::Test {
 protected:
  void SetUp() override { path_ = (std::filesystem::temp_directory_path() / fmt::format("teeny-recipe-{}.json", ::getpid())).string(); }
  void TearDown() override { std::filesystem::remove(path_); }

  Plan plan(const std::string& rules, const std::string& method = "gptq", const std::string& format = "") {
    write_file(path_, rules);
    QuantizeOptions options;
    options.model = kModel, options.method = method, options.format = format, options.recipe = path_;
    const auto source = open_source(kModel);
    return make_plan(*source, read_spec(*source), options);
  }
  void expect_refused(const std::string& rules, const std::string& expected, const std::string& method = "gptq", const std::string& format = "") {
    try {
      plan(rules, method, format);
      ADD_FAILURE() << "accepted: " << rules;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what() << "\nexpected: " << expected;
    }
  }
  static std::string name_in(const Plan& plan, const std::string& module) {
    return std::find_if(plan.tensors.begin(), plan.tensors.end(), [&](const auto& t) { return t.module == module; })->encoding.name();
  }

  std::string path_;
};

TEST(RecipePattern, StarsAndQuestionMarks) {
  EXPECT_TRUE(matches("*.down_proj", "model.layers.3.mlp.down_proj"));
  EXPECT_TRUE(matches("model.layers.?.mlp.*", "model.layers.3.mlp.up_proj"));
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("a*b*c", "axxbyybzc"));
  EXPECT_FALSE(matches("*.down", "model.layers.3.mlp.down_proj"));
  EXPECT_FALSE(matches("model.layers.?.mlp.*", "model.layers.12.mlp.up_proj"));
  EXPECT_FALSE(matches("", "a"));
}

TEST_F(Recipe, TheFirstRuleThatMatchesCounts) {
  const Plan p = plan(R"({"rules": [{"match": "model.layers.0.*", "skip": true}, {"match": "*.down_proj", "bits": 8, "group": 64}, {"match": "*.mlp.*", "bits": 3}]})");
  EXPECT_EQ(name_in(p, "model.layers.0.mlp.down_proj"), "f16");
  EXPECT_EQ(name_in(p, "model.layers.1.mlp.down_proj"), "gptq_int8_g64_sym");
  EXPECT_EQ(name_in(p, "model.layers.1.mlp.up_proj"), "gptq_int3_g128_sym");
  EXPECT_EQ(name_in(p, "model.layers.1.self_attn.q_proj"), "gptq_int4_g128_sym");
}

TEST_F(Recipe, TypesOfGguf) {
  const Plan p = plan(R"({"rules": [{"match": "*.down_proj", "type": "q6_k"}, {"match": "model.embed_tokens", "type": "Q8_0"}]})", "gguf");
  EXPECT_EQ(name_in(p, "model.layers.1.mlp.down_proj"), "q6_k");
  EXPECT_EQ(name_in(p, "model.embed_tokens"), "q8_0");
}

TEST_F(Recipe, WhatMakesNoSenseIsRefused) {
  expect_refused("[]", "not of the form");
  expect_refused(R"({"rules": [{"bits": 4}]})", "no \"match\"");
  expect_refused(R"({"rules": [{"match": "*", "bit": 4}]})", "unknown key");
  expect_refused(R"({"rules": [{"match": "*", "bits": "4"}]})", "whole number");
  expect_refused(R"({"rules": [{"match": "*", "group": 0}]})", "\"group\" is 0");
  expect_refused(R"({"rules": [{"match": "*", "bits": 5}]})", "holds 2, 3, 4, 8");
  expect_refused(R"({"rules": [{"match": "*", "type": "Q4_K"}]})", "GGUF type");
  expect_refused(R"({"rules": [{"match": "*", "bits": 4}]})", "use \"type\"", "gguf");
  expect_refused(R"({"rules": [{"match": "*", "type": "Q4_K_M"}]})", "no type of a GGUF tensor", "gguf");
  expect_refused(R"({"rules": [{"match": "*.v_proj", "bits": 8}]})", "must be alike");
  expect_refused(R"({"rules": [{"match": "*.gate_proj", "skip": true}]})", "must be alike");
  expect_refused(R"({"rules": [{"match": "*", "method": "awq"}]})", "wants the method awq");
  expect_refused(R"({"rules": [{"match": "*", "group": 32}]})", "one of each", "awq");
}

}  // namespace
}  // namespace teeny
