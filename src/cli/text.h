// Plain text for people: wrapping, tables, numbers.
#pragma once
#include <string>
#include <vector>

#include "teeny/core/json.h"

namespace teeny::cli {

// Lines of at most `width` columns; every line but the first starts with `indent` spaces.
std::string wrap(const std::string& text, size_t indent, size_t width);
size_t terminal_width();

// A table with a header line; cells that hold a number are set to the right. Control characters are escaped.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() == 1; }
  std::string str(size_t indent = 2) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

size_t display_width(const std::string& text);                 // code points of UTF-8
std::string percent(double ratio, int digits = 1);             // 0.25 -> "25.0 %"
std::string duration(double seconds);                          // "850 ms", "12.3 s", "4 min 05 s", "2 h 10 min"
std::string thousands(int64_t value);                          // "7 012 352"
std::string significant(double value, int digits = 4);
std::string shell_quote(const std::string& text);              // as it would be typed in a shell

// Reading records that may lack fields: a missing or null field is the fallback.
const Json* find(const Json& json, std::initializer_list<const char*> path);
std::string text_at(const Json& json, std::initializer_list<const char*> path, const std::string& fallback = "");
double number_at(const Json& json, std::initializer_list<const char*> path, double fallback);

}  // namespace teeny::cli
