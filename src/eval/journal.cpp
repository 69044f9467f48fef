#include "eval/journal.h"

#include <filesystem>

#include <fmt/format.h>

#include "teeny/core/env.h"
#include "teeny/core/file.h"

namespace teeny {
namespace {

// Whole lines of a file whose first line is the key; the last line may be cut off.
std::map<size_t, std::string> read_left(const std::string& path, const Json& key) {
  std::map<size_t, std::string> out;
  std::ifstream in(path);
  std::string line;
  for (bool first = true; std::getline(in, line); first = false) {
    const Json row = Json::parse(line, nullptr, false);
    if (first && row != Json({{"key", key}})) return {};
    if (first) continue;
    if (!row.is_object() || !row.contains("index") || !row["index"].is_number_unsigned() || !row.contains("text") || !row["text"].is_string()) break;
    out[row["index"].get<size_t>()] = row["text"].get<std::string>();
  }
  return out;
}

}  // namespace

Journal::Journal(const Json& key, bool resume, Context& context) {
  path_ = path_join(path_join(cache_directory(), "eval"), "unfinished-" + sha256_hex(dump_json(key, -1)).substr(0, 32) + ".jsonl");
  if (resume) found_ = read_left(path_, key);
  if (resume) context.info(fmt::format("--resume: {} completions were there already ({})", found_.size(), path_));
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), error);
  out_.open(path_, std::ios::trunc);
  out_ << dump_json({{"key", key}}, -1);
  for (const auto& [index, text] : found_) out_ << dump_json({{"index", index}, {"text", text}}, -1);
  out_.flush();
}

void Journal::add(size_t index, const std::string& text) {
  out_ << dump_json({{"index", index}, {"text", text}}, -1) << std::flush;
}

void Journal::finished() {
  out_.close();
  std::error_code error;
  std::filesystem::remove(path_, error);
}

}  // namespace teeny
