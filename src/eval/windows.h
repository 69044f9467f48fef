// The text of ppl and kld, cut into windows of tokens.
#pragma once
#include <string>
#include <vector>

#include "teeny/core/engine.h"
#include "teeny/runtime/runner.h"

namespace teeny {

struct TextWindows {
  std::string protocol;                       // "windows" or "llama.cpp"
  std::string path, sha256;
  int64_t tokens = 0;                         // in the whole text; an incomplete last window is dropped
  int64_t ctx = 0;
  int64_t first = 0;                          // first scored position of a window
  std::vector<std::vector<int32_t>> windows;  // each ctx tokens
};

// options.text, else the text that belongs to the model: eval.txt beside it, or the shipped model's when the tokenizer is
// the shipped model's. Usage error when there is none.
TextWindows load_windows(const EvalOptions& options, const Runner& model);
// Input error unless both models read the text as the same tokens.
void require_same_tokens(const TextWindows& text, const Runner& model, const Runner& reference);

std::string shipped_model_directory();
bool has_shipped_tokenizer(const Tokenizer& tokenizer);

}  // namespace teeny
