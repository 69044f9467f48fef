// Calibration text: where it came from, how it was cut, and the tokens themselves.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "teeny/core/context.h"
#include "teeny/core/json.h"
#include "teeny/text/tokenizer.h"

namespace teeny {

struct Calibration {
  std::vector<std::vector<int32_t>> windows;  // at most seq_len tokens each
  std::string source, sha256, template_name;
  uint64_t seed = 0;
  int64_t seq_len = 0;
  int64_t source_tokens = 0;        // in all of the text; what is beyond the windows was not used
  int64_t documents = 0, truncated = 0;  // lines of jsonl, or texts that the model wrote; those longer than a window
  int64_t tokens() const;
  Json json() const;  // the record's quantize.calibration
};

struct CalibrationRequest {
  std::string path;                 // text or jsonl (.gz too)
  int64_t samples = 128, seq_len = 2048;
  uint64_t seed = 0;                // draws and orders the windows
};

// Text is cut into windows of seq_len tokens, one after the other. More windows than asked for: `samples` of them are
// drawn. Fewer: all are used, the short last one too, with a warning. jsonl: "messages" go through the chat template,
// "text" (or "content") is taken as it is. Empty text is an Input error.
Calibration load_calibration(const CalibrationRequest& request, const Tokenizer& tokenizer, const ChatTemplate* chat, Context& context);

}  // namespace teeny
