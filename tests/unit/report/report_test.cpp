#include "teeny/report/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "report/data.h"
#include "report/scene.h"
#include "sample_records.h"
#include "schema.h"
#include "teeny/core/error.h"
#include "teeny/core/file.h"

namespace teeny {
namespace {
namespace fs = std::filesystem;
using testing::SampleRecords;

struct Written {
  std::string directory;
  ReportResult result;
  explicit Written(const std::vector<Json>& records, ReportOptions options = {}) {
    std::string name = ::testing::TempDir() + "teeny_report_XXXXXX";
    directory = ::mkdtemp(name.data()) ? name : "";
    result = write_report(records, directory, options);
  }
  ~Written() { fs::remove_all(directory); }
  std::string read(const std::string& name) const { return read_file(directory + "/" + name); }
};

// RFC 4180.
std::vector<std::vector<std::string>> parse_csv(const std::string& text) {
  std::vector<std::vector<std::string>> rows(1, {""});
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') rows.back().back() += c, ++i;
    else if (c == '"') quoted = !quoted;
    else if (!quoted && c == ',') rows.back().emplace_back();
    else if (!quoted && c == '\r') continue;
    else if (!quoted && c == '\n') rows.push_back({""});
    else rows.back().back() += c;
  }
  rows.pop_back();
  return rows;
}

// Every element closed in order, every attribute quoted, no bare < or &: "" when well-formed, else what is wrong.
std::string xml_problem(const std::string& text) {
  std::vector<std::string> open;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '&') {
      const auto end = text.find(';', i);
      if (end == std::string::npos || end - i > 8) return "bare & at " + std::to_string(i);
    }
    if (text[i] != '<') continue;
    size_t end = i + 1;
    for (bool in_quotes = false; end < text.size() && (in_quotes || text[end] != '>'); ++end) {
      if (text[end] == '"') in_quotes = !in_quotes;
      if (text[end] == '<') return "bare < at " + std::to_string(end);
    }
    if (end >= text.size()) return "unclosed tag";
    const std::string tag = text.substr(i + 1, end - i - 1), name = tag.substr(tag[0] == '/', tag.find_first_of(" /", 1) - (tag[0] == '/'));
    if (tag[0] == '/') {
      if (open.empty() || open.back() != name) return "unexpected </" + name + ">";
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
    i = end;
  }
  return open.empty() ? "" : "never closed: " + open.back();
}

uint32_t big_endian(const std::string& bytes, size_t at) {
  uint32_t v = 0;
  for (size_t i = 0; i < 4; ++i) v = v << 8 | uint8_t(bytes[at + i]);
  return v;
}

TEST(Report, WritesEverythingFromTheSample) {
  const Written w(SampleRecords::all());
  const std::string html = w.read("report.html");
  EXPECT_NE(html.find("default-src 'none'; style-src 'unsafe-inline'; img-src data:"), std::string::npos);
  EXPECT_EQ(html.find("<script"), std::string::npos);
  for (const char* remote : {"src=\"http", "href=\"http", "url(http", "@import"}) EXPECT_EQ(html.find(remote), std::string::npos);
  for (const char* text : {"not run: ", "not measured", "projected", "Pareto", "GPTQ 4-bit", "Invented sample data", "humaneval pass@1", "prefers-color-scheme"})
    EXPECT_NE(html.find(text), std::string::npos) << text;
  for (const auto& file : w.result.files) EXPECT_TRUE(path_exists(file)) << file;
  EXPECT_EQ(w.result.files.front(), w.directory + "/report.html");
  EXPECT_NE(w.read("report.md").find("| GPTQ 4-bit |"), std::string::npos);
  for (const auto& entry : fs::recursive_directory_iterator(w.directory)) EXPECT_NE(entry.path().extension(), ".part");
}

TEST(Report, SummaryFitsTheSchema) {
  const Written w(SampleRecords::all());
  RunRecord run("report", {"teeny", "report"}, 0);
  run.json()["report"] = w.result.summary;
  run.finish(Context());
  EXPECT_EQ(testing::Schema::results().explain(run.json()), "");
}

TEST(Report, FiguresAreTheRecords) {
  const Written w(SampleRecords::all());
  const auto rows = parse_csv(w.read("variants.csv"));
  ASSERT_EQ(rows.size(), 9u);
  std::map<std::string, size_t> column;
  for (size_t i = 0; i < rows[0].size(); ++i) column[rows[0][i]] = i;
  for (const auto& row : rows) EXPECT_EQ(row.size(), rows[0].size());
  const auto at = [&](size_t row, const char* name) { return rows[row].at(column.at(name)); };
  EXPECT_EQ(at(1, "variant"), "Original 32-bit");
  EXPECT_EQ(at(1, "reference"), "yes");
  size_t gptq = 0;
  for (size_t i = 1; i < rows.size(); ++i)
    if (at(i, "variant") == "GPTQ 4-bit") gptq = i;
  ASSERT_GT(gptq, 0u);
  const double parameters = 7615616512.0;
  EXPECT_NEAR(std::stod(at(gptq, "size_bytes")), parameters * 4.15 / 8, 1);
  EXPECT_NEAR(std::stod(at(gptq, "size_reduction_percent")), 100 * (1 - 4.15 / 32), 1e-6);
  EXPECT_NEAR(std::stod(at(gptq, "decode_tokens_per_s")), 118.9, 1e-9);
  EXPECT_NEAR(std::stod(at(gptq, "decode_speedup")), 118.9 / 21.4, 1e-9);
  EXPECT_NEAR(std::stod(at(gptq, "kld_nats")), 0.0161, 1e-12);
  EXPECT_NEAR(std::stod(at(gptq, "humaneval pass@1_retention_percent")), 100.0 * 118 / 120, 1e-9);
  EXPECT_NEAR(std::stod(at(gptq, "humaneval pass@1_difference_points")), -200.0 / 164, 1e-9);
  EXPECT_EQ(at(gptq, "humaneval pass@1_gained"), "3");
  EXPECT_EQ(at(gptq, "humaneval pass@1_lost"), "5");
  EXPECT_EQ(parse_csv(w.read("speed.csv")).size(), 1 + 8 * 3u);
  EXPECT_NE(w.result.summary["headline"].get<std::string>().find("GPTQ 4-bit is the smallest variant without a significant loss"), std::string::npos);
}

TEST(Report, HolmRunsOverAllClaims) {
  report::ReportData data = report::join_records(SampleRecords::all(), {});
  report::compare_variants(data);
  std::vector<std::pair<double, double>> claims;
  for (const auto& t : data.tests) claims.emplace_back(*t.p, *t.p_holm);
  std::sort(claims.begin(), claims.end());
  ASSERT_EQ(claims.size(), 7u);
  double running = 0;
  for (size_t i = 0; i < claims.size(); ++i) {
    running = std::max(running, std::min(1.0, claims[i].first * double(claims.size() - i)));
    EXPECT_NEAR(claims[i].second, running, 1e-12);
  }
}

// A test of equivalence is a claim like any other, and the page says what it found.
TEST(Report, EquivalenceIsAClaimToo) {
  auto records = SampleRecords::all();
  for (auto& r : records)
    if (r.contains("eval"))
      for (auto& c : r["eval"]["comparison"]) c["details"]["equivalence"] = {{"margin", 0.03}, {"p", r["model"]["method"] == "int8" ? 0.0001 : 0.4}, {"equivalent", false}};
  report::ReportData data = report::join_records(records, {});
  report::compare_variants(data);
  EXPECT_EQ(report::claims(data.tests), 14u);
  for (const auto& t : data.tests) {
    ASSERT_TRUE(t.p_equivalent_holm);
    EXPECT_GE(*t.p_equivalent_holm, *t.p_equivalent);
    EXPECT_LE(*t.p_equivalent_holm, std::min(1.0, 14 * *t.p_equivalent));
  }
  const std::string text = Written(records).read("report.md");
  EXPECT_NE(text.find("| no significant difference | shown, p "), std::string::npos);
  EXPECT_NE(text.find("| not shown, p 1.00 \\(±3 pt\\) |"), std::string::npos);
  EXPECT_NE(text.find("over all 14 claims"), std::string::npos);
  EXPECT_NE(text.find("## Problems gained and lost"), std::string::npos);
}

TEST(Report, SaysWhenThereWasNoSandbox) {
  auto records = SampleRecords::all();
  for (auto& r : records)
    if (r.contains("eval")) r["eval"]["sandbox"] = {{"tier", "unsandboxed"}, {"self_test", Json::object()}};
  EXPECT_NE(Written(records).read("report.md").find("Warning: generated programs ran without any sandbox"), std::string::npos);
}

TEST(Report, ComparesProblemByProblemWhenNoRecordDid) {
  auto records = SampleRecords::all();
  for (auto& r : records)
    if (r.contains("eval")) r["eval"]["comparison"] = Json::array();
  report::ReportData data = report::join_records(records, {});
  report::compare_variants(data);
  ASSERT_EQ(data.tests.size(), 7u);
  for (const auto& t : data.tests) {
    if (data.variants[t.variant].label != "GPTQ 3-bit") continue;
    EXPECT_TRUE(t.from_items);
    EXPECT_EQ(*t.lost, 21u);
    EXPECT_EQ(*t.gained, 4u);
    EXPECT_NEAR(*t.difference, -17.0 / 164, 1e-12);
    EXPECT_NEAR(*t.p, 0.00091, 1e-5);  // exact two-sided McNemar of (21, 4)
  }
}

TEST(Report, PerplexityDifferencesAreNoPoints) {
  auto records = SampleRecords::all();
  for (auto& r : records)
    if (r.contains("eval") && r["model"]["method"] == "awq") {
      r["eval"]["comparison"] = Json::array({Json{{"reference", "models/sample-7b"}, {"task", "ppl"}, {"difference", 0.116}, {"ci95", {0.09, 0.14}}, {"test", "paired-bootstrap"},
                                                  {"p", nullptr}, {"p_holm", nullptr}, {"gained", Json::array()}, {"lost", Json::array()}, {"detectable_difference", nullptr}}});
      r["eval"]["tasks"][2]["details"] = {{"pass@10", {{"value", 0.9}, {"stderr", 0.01}, {"ci95", {0.88, 0.92}}}}};
    }
  const Written w(records);
  const std::string text = w.read("report.md");
  EXPECT_NE(text.find("| AWQ 4-bit | ppl | +0.116 | +0.0900 to +0.140 |"), std::string::npos);
  EXPECT_NE(text.find("interval excludes 0: worse"), std::string::npos);
  EXPECT_NE(text.find("humaneval pass@10"), std::string::npos);
}

TEST(Report, FailuresByCategory) {
  auto records = SampleRecords::all();
  int failed = 0;
  for (auto& r : records)
    if (r.contains("eval") && r["model"]["method"] == "awq")
      for (auto& task : r["eval"]["tasks"])
        for (auto& item : task["per_item"])
          if (item.is_object() && item["passed"] == false) item["category"] = failed++ < 3 ? "time limit" : "wrong answer";
  ASSERT_GT(failed, 3);
  const std::string text = Written(records).read("report.md");
  EXPECT_NE(text.find("## Failed programs by category"), std::string::npos);
  EXPECT_NE(text.find("| AWQ 4-bit | humaneval | 164 | " + std::to_string(failed) + " | " + std::to_string(failed - 3) + " | 3 |"), std::string::npos) << text.substr(text.find("## Failed"), 600);
}

TEST(Report, SeveralSamplesAProblemAreNotTestedByMcNemar) {
  auto records = SampleRecords::all();
  for (auto& r : records)
    if (r.contains("eval")) {
      r["eval"]["comparison"] = Json::array();
      for (auto& item : r["eval"]["tasks"][r["model"]["method"].is_null() ? 1 : 2]["per_item"]) item["samples"] = 10, item["samples_passed"] = 3;
    }
  report::ReportData data = report::join_records(records, {});
  report::compare_variants(data);
  EXPECT_TRUE(data.tests.empty());
}

TEST(Report, JoinsRecordsOfOneVariantOnly) {
  auto records = SampleRecords::all();
  report::ReportData data = report::join_records(records, {});
  EXPECT_EQ(data.variants.size(), 8u);
  Json other = records.back();  // the same model at another place, of another size
  other["id"] = "other";
  other["model"]["bytes"] = 123456;
  records.push_back(other);
  EXPECT_EQ(report::join_records(records, {}).variants.size(), 9u);
  Json absolute = SampleRecords::all().back();  // the same file named by its absolute path
  absolute["id"] = "absolute";
  absolute["model"]["path"] = "/somewhere/" + absolute["model"]["path"].get<std::string>();
  records.back() = absolute;
  EXPECT_EQ(report::join_records(records, {}).variants.size(), 8u);
}

TEST(Report, PicturesAreWellFormed) {
  const Written w(SampleRecords::all());
  size_t svg = 0, png = 0;
  for (const auto& file : w.result.files) {
    const std::string bytes = read_file(file);
    if (file.ends_with(".svg")) {
      ++svg;
      EXPECT_EQ(xml_problem(bytes), "") << file;
      EXPECT_NE(bytes.find("<title>"), std::string::npos);
      EXPECT_EQ(bytes.find("nan"), std::string::npos) << file;
      EXPECT_EQ(bytes.find("inf\""), std::string::npos) << file;
    }
    if (file.ends_with(".png")) {
      ++png;
      EXPECT_EQ(bytes.substr(0, 8), "\x89PNG\r\n\x1a\n");
      EXPECT_GT(big_endian(bytes, 16), 1000u);
      EXPECT_GT(big_endian(bytes, 20), 300u);
      EXPECT_EQ(bytes.substr(bytes.size() - 8, 4), "IEND");
    }
  }
  EXPECT_GE(svg, 10u);
  EXPECT_EQ(png, report::can_draw_png() ? svg : 0u);
  EXPECT_NE(xml_problem("<a><b></a>"), "");  // the checker itself can fail
}

// A GPU in the machine is not what computed: the device of the command is.
TEST(Report, HardwareIsTheDeviceThatComputed) {
  auto records = SampleRecords::all();
  for (auto& r : records) {
    r["device"] = "cpu";
    if (r.contains("bench"))
      for (auto& c : r["bench"]["cases"]) c["hardware"] = "";
  }
  EXPECT_EQ(Written(records).read("report.md").find("Sample GPU"), std::string::npos);
  for (auto& r : records) r["device"] = "cuda";
  EXPECT_NE(Written(records).read("report.md").find("Sample GPU"), std::string::npos);
}

TEST(Report, HostileTextStaysText) {
  auto records = SampleRecords::all();
  const std::string evil = "</script><img src=x onerror=alert(1)>\"'&|\u202E";
  for (auto& r : records) {
    r["model"]["name"] = evil + r["model"]["name"].get<std::string>();
    if (r["model"]["method"] == "rtn") r["model"]["method"] = evil;
    r["machine"]["cpu"] = evil;
    r["machine"]["gpus"][0]["name"] = evil;
    r["id"] = evil + r["id"].get<std::string>();
    r["warnings"].push_back({{"code", evil}, {"message", evil}});
    if (r.contains("bench"))
      for (auto& c : r["bench"]["cases"]) c["hardware"] = evil, c["name"] = evil;
    if (!r.contains("eval")) continue;
    for (auto& t : r["eval"]["tasks"]) t["name"] = t["name"].get<std::string>() + evil, t["not_run"] = evil;
    r["eval"]["errors"] = {{evil, 3}};
    r["eval"]["sandbox"]["tier"] = evil;
  }
  for (auto comparison : {Comparison::Methods, Comparison::Bits, Comparison::Models, Comparison::Hardware}) {
    const Written w(records, {comparison, evil, 1});
    EXPECT_EQ(w.read("report.html").find("<img"), std::string::npos);
    EXPECT_EQ(w.read("report.html").find("</script"), std::string::npos);
    EXPECT_EQ(w.read("report.html").find("\u202E"), std::string::npos);
    EXPECT_EQ(w.read("report.md").find("<img"), std::string::npos);
    for (const auto& file : w.result.files) {
      if (!file.ends_with(".svg")) continue;
      EXPECT_EQ(xml_problem(read_file(file)), "") << file;
    }
    const auto rows = parse_csv(w.read("variants.csv"));
    for (const auto& row : rows) EXPECT_EQ(row.size(), rows[0].size());
  }
}

TEST(Report, EveryComparisonAndPartialRecords) {
  const auto all = SampleRecords::all();
  for (auto comparison : {Comparison::Methods, Comparison::Bits, Comparison::Models, Comparison::Hardware}) {
    for (const char* only : {"quantize", "bench", "eval"}) {
      std::vector<Json> records;
      for (const auto& r : all)
        if (r["command"] == only) records.push_back(r);
      const Written w(records, {comparison, "", 1});
      EXPECT_FALSE(w.result.summary["headline"].get<std::string>().empty());
    }
  }
  for (const auto& record : all) {  // one record alone
    const Written w(std::vector<Json>{record});
    EXPECT_EQ(w.result.summary["variants"].size(), 1u);
    EXPECT_FALSE(w.result.summary["omitted"].empty());
  }
}

TEST(Report, RefusesNothingToCompare) {
  for (const std::vector<Json>& records : {std::vector<Json>{}, {Json{{"command", "doctor"}, {"started", "x"}}}}) {
    try {
      Written w(records);
      FAIL();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::Input);
    }
  }
}

TEST(Report, ManyVariantsAndExtremeFigures) {
  std::vector<Json> records;
  for (int i = 0; i < 30; ++i)
    for (Json r : {SampleRecords::bench(testing::sample_variants()[size_t(i) % 8]), SampleRecords::eval(testing::sample_variants()[size_t(i) % 8])}) {
      r["id"] = "many-" + std::to_string(i) + r["command"].get<std::string>();
      r["model"]["name"] = "many-" + std::to_string(i);
      r["model"]["path"] = "many/" + std::to_string(i);
      if (i == 3 && r.contains("bench")) r["bench"]["cases"][1]["median"] = 1e300;
      if (i == 4 && r.contains("bench")) r["bench"]["cases"][1]["median"] = 0;
      if (i == 5) r["model"]["bytes"] = 0, r["model"]["bits_per_weight"] = 0;
      if (i == 6 && r.contains("eval")) r["eval"]["tasks"][0]["value"] = 1e308;
      records.push_back(r);
    }
  const Written w(records);
  EXPECT_EQ(w.result.summary["variants"].size(), 30u);
  for (const auto& file : w.result.files) {
    if (!file.ends_with(".svg")) continue;
    const std::string svg = read_file(file);
    EXPECT_EQ(svg.find("\"nan"), std::string::npos) << file;
    EXPECT_EQ(svg.find("\"inf"), std::string::npos) << file;
  }
  std::vector<std::string> labels;
  for (const auto& v : w.result.summary["variants"]) labels.push_back(v["variant"]);
  std::sort(labels.begin(), labels.end());
  EXPECT_EQ(std::adjacent_find(labels.begin(), labels.end()), labels.end()) << "two variants share a label";
}

}  // namespace
}  // namespace teeny
