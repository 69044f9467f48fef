// Writes the sample report that people look at: <temporary directory>/teeny_sample_report.
#include <gtest/gtest.h>

#include <filesystem>

#include "sample_records.h"
#include "teeny/core/file.h"
#include "teeny/report/report.h"

namespace teeny {
namespace {

TEST(ReportSample, IsWritten) {
  const std::string out = ::testing::TempDir() + "teeny_sample_report";
  std::filesystem::remove_all(out);
  const auto result = write_report(testing::SampleRecords::all(), out, {});
  EXPECT_TRUE(path_exists(out + "/report.html"));
  EXPECT_EQ(result.files.front(), out + "/report.html");
}

}  // namespace
}  // namespace teeny
