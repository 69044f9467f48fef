#include "report/format.h"

#include <gtest/gtest.h>

#include "teeny/core/error.h"

namespace teeny::report {
namespace {

TEST(ReportFormat, Numbers) {
  EXPECT_EQ(decimals(0.011849), "0.0118");
  EXPECT_EQ(decimals(104.23), "104");
  EXPECT_EQ(decimals(-0.5), "\u22120.500");
  EXPECT_EQ(decimals(0), "0");
  EXPECT_EQ(decimals(0.0 / 0.0), "n/a");
  EXPECT_EQ(percent(0.7317), "73.2 %");
  EXPECT_EQ(signed_points(-0.0366), "\u22123.7 pt");
  EXPECT_EQ(p_value(1e-9), "< 0.001");
  EXPECT_EQ(short_count(7615616512.0), "7.6B");
  EXPECT_EQ(short_count(999.6e6), "1.0B");
}

TEST(ReportFormat, HtmlIsEscaped) {
  EXPECT_EQ(escape_html("</script><img src=x onerror='a(\"b\")'>&"), "&lt;/script&gt;&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt;&amp;");
  EXPECT_EQ(escape_html("a\u2028b\u202Ec"), "a\uFFFDb\uFFFDc");
  EXPECT_EQ(escape_html(std::string("a\0b\x01", 4)), "a\uFFFDb\uFFFD");
  for (const char* bad : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80"}) EXPECT_EQ(escape_html(bad).substr(0, 3), "\uFFFD") << bad;
  EXPECT_EQ(escape_html("\xe2\x82"), "\uFFFD\uFFFD");
  EXPECT_EQ(escape_html("Grüße 量化 🙂"), "Grüße 量化 🙂");
}

TEST(ReportFormat, MarkdownAndCsvAreEscaped) {
  EXPECT_EQ(escape_markdown("a|b\n<c>[d](e)"), "a\\|b &lt;c\\>\\[d\\]\\(e\\)");
  EXPECT_EQ(csv_cell("plain"), "plain");
  EXPECT_EQ(csv_cell("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
  EXPECT_EQ(csv_cell("=cmd()"), "'=cmd()");
}

TEST(ReportFormat, ClipsWholeCharacters) {
  EXPECT_EQ(clip_text("abc", 3), "abc");
  EXPECT_EQ(clip_text("abcd", 3), "ab\u2026");
  EXPECT_EQ(clip_text("量化量化", 3), "量化\u2026");
}

TEST(ReportFormat, ComparisonNames) {
  EXPECT_EQ(comparison_from_name("bits"), Comparison::Bits);
  try {
    comparison_from_name("colours");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::Usage);
  }
}

}  // namespace
}  // namespace teeny::report
