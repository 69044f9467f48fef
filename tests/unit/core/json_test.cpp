#include "teeny/core/json.h"

#include <gtest/gtest.h>

#include "teeny/core/error.h"

namespace teeny {
namespace {

TEST(Json, RefusesDuplicateKeysAndDepth) {
  EXPECT_EQ(parse_json(R"({"a": [1, {"b": 2}], "c": {"b": 3}})", "t", "s")["c"]["b"], 3);
  EXPECT_THROW(parse_json(R"({"a": 1, "a": 2})", "t", "s"), Error);
  EXPECT_THROW(parse_json(R"({"w": 1, "\u0077": 2})", "t", "s"), Error);
  EXPECT_THROW(parse_json(std::string(200000, '['), "t", "s"), Error);
  EXPECT_THROW(parse_json("{\"a\": NaN}", "t", "s"), Error);
  EXPECT_THROW(parse_json("{} {}", "t", "s"), Error);
  try {
    parse_json("{\"a\": ", "json", "x.json");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Input);
    EXPECT_TRUE(std::string(e.what()).starts_with("[json] x.json: is not valid JSON"));
  }
}

}  // namespace
}  // namespace teeny
