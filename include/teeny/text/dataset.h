// Text files and JSON lines (.gz too) for calibration and evaluation.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "teeny/text/tokenizer.h"

namespace teeny {

std::string read_text(const std::string& path);                        // .gz is unpacked (output capped at 4 GiB)
std::vector<Json> read_jsonl(const std::string& path);                 // blank lines skipped; errors name the line
bool is_jsonl(const std::string& path);                                // by extension: .jsonl, .jsonl.gz

}  // namespace teeny
