// The columns of the variant table, once for every renderer.
#pragma once
#include <string>
#include <vector>

#include "report/data.h"

namespace teeny::report {

struct Cell {
  std::string text;    // for people; empty: nothing known
  std::string detail;  // a second, quieter line
  Maybe number;        // for machines, in the unit of the column's id
  std::string word;    // for machines, when the cell is no number
  enum class Tone { Plain, Good, Bad, Quiet } tone = Tone::Plain;
};

struct Column {
  std::string id;     // CSV header, with unit: "size_bytes"
  std::string title;  // "Size"
  std::string group;  // header above neighbouring columns: "Compression"
  bool numeric = true;
  bool csv_only = false;
  std::string fold;          // not empty: on the page this is the second line of the column before, as "<text><fold>"
  std::vector<Cell> cells;  // one a variant
};

// Columns without a single value are left out, except for those that every report must answer.
std::vector<Column> variant_columns(const ReportData& data);

}  // namespace teeny::report
