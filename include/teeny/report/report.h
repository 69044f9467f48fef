// teeny report: result records in, one page, tables and pictures out. Reads nothing but records.
#pragma once
#include <string>
#include <vector>

#include "teeny/core/json.h"

namespace teeny {

// What the series of the pictures are, and how the table is ordered.
enum class Comparison { Methods, Bits, Models, Hardware };

struct ReportOptions {
  Comparison comparison = Comparison::Methods;
  std::string title;  // empty: made from the records
  int threads = 0;    // 0: all cores (the pictures are drawn in parallel)
};

struct ReportResult {
  std::vector<std::string> files;  // every file written, report.html first
  Json summary;                    // the record's "report" object (docs/result.schema.json)
};

Comparison comparison_from_name(const std::string& name);  // Usage error naming the four words

// Writes report.html, report.md, *.csv and pictures/*.svg|png under `out_directory` (made when absent). Records that hold
// nothing to compare (inspect, doctor, ...) are skipped with a note; Input error when nothing is left.
ReportResult write_report(const std::vector<Json>& records, const std::string& out_directory, const ReportOptions& options);

}  // namespace teeny
