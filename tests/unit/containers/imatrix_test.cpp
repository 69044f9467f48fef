// The older form of an imatrix file: values by hand, and every way in which it can be wrong.
#include "teeny/containers/imatrix.h"

#include <gtest/gtest.h>

#include <cmath>

#include "container_files.h"
#include "teeny/core/error.h"

namespace teeny {
namespace {
using test::raw;

std::string entry(const std::string& name, int32_t calls, const std::vector<float>& sums) {
  std::string out = raw(int32_t(name.size())) + name + raw(calls) + raw(int32_t(sums.size()));
  for (const float sum : sums) out += raw(sum);
  return out;
}
ImatrixDat parse(const std::string& bytes) { return parse_imatrix_dat(std::as_bytes(std::span(bytes)), "i.dat"); }

TEST(Imatrix, SumsAreDividedByTheCalls) {
  const auto dat = parse(raw(int32_t(2)) + entry("blk.0.attn_q.weight", 4, {8, 2}) + entry("blk.0.ffn_up.weight", 0, {0}) + raw(int32_t(7)) + raw(int32_t(4)) + "text");
  ASSERT_EQ(dat.entries.size(), 2u);
  EXPECT_EQ(dat.entries[0].name, "blk.0.attn_q.weight");
  EXPECT_EQ(dat.entries[0].values, (std::vector<float>{2, 0.5f}));
  EXPECT_EQ(dat.entries[1].calls, 0);
  EXPECT_EQ(dat.chunks, 7);
  EXPECT_EQ(dat.dataset, "text");
}

TEST(Imatrix, TheEndMayBeMissing) { EXPECT_EQ(parse(raw(int32_t(1)) + entry("a", 1, {1})).chunks, 0); }

TEST(Imatrix, DamagedFilesAreRefused) {
  const std::string good = raw(int32_t(1)) + entry("a", 1, {1, 2});
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "needs 4 bytes"},
      {raw(int32_t(0)), "no entries"},
      {raw(int32_t(-1)) + std::string(64, '\0'), "is -1"},
      {raw(int32_t(1 << 30)) + std::string(64, '\0'), "more than the file can hold"},
      {good.substr(0, good.size() - 1), "more than the file can hold"},
      {raw(int32_t(1)) + entry("", 1, {1}), "no name"},
      {raw(int32_t(1)) + entry("a", -1, {1}), "-1 calls"},
      {raw(int32_t(1)) + entry("a", 1, {}) + std::string(8, '\0'), "no values"},
      {raw(int32_t(1)) + raw(int32_t(1 << 20)) + std::string(64, 'a'), "more than the file can hold"},
      {raw(int32_t(1)) + entry("a", 1, {NAN}), "finite"},
      {raw(int32_t(1)) + entry("a", 1, {-1}), "not negative"},
      {raw(int32_t(2)) + entry("a", 1, {1}) + entry("a", 1, {1}), "stands twice"},
      {good + raw(int32_t(1)) + raw(int32_t(1)) + "abc", "after its end"},
      {good + raw(int32_t(1)) + raw(int32_t(-5)), "more than the file can hold"},
  };
  for (const auto& [bytes, expected] : cases) {
    try {
      parse(bytes);
      ADD_FAILURE() << "accepted; expected: " << expected;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::Input);
      EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what() << "\nexpected: " << expected;
    }
  }
}

}  // namespace
}  // namespace teeny
