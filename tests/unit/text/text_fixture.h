// What the tests of text share: the demo model's tokenizer and the data that is not in the repository.
#pragma once
#include <string>

#include "teeny/core/error.h"
#include "teeny/core/file.h"
#include "teeny/text/tokenizer.h"

namespace teeny::test {

inline const std::string kRoot = TEENY_TEST_SOURCE_DIR;
inline const std::string kDemo = kRoot + "/configs/models/teeny-demo-7m";
inline const std::string kShared = kRoot + "/../shared/data";  // optional

inline const Json& demo_json() {
  static const Json json = read_json_file(kDemo + "/tokenizer.json", "tokenizer");
  return json;
}
inline std::shared_ptr<Tokenizer> demo_tokenizer() {
  static const auto tokenizer = make_tokenizer(read_tokenizer_json(demo_json(), "demo"), "demo");
  return tokenizer;
}
// The message of the Error that `body` throws, its kind before it ("3 [where] ..."); "" when it throws none.
template <class Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const Error& e) {
    return std::to_string(static_cast<int>(e.kind())) + " " + e.what();
  }
  return "";
}

}  // namespace teeny::test
