// Hand-written scanners, one for each pattern that models use: what Split with that pattern and "Isolated" cuts off.
#pragma once

namespace teeny {

// The end of the piece that starts at `p` (p < end) of valid UTF-8 text that ends at `end`.
using Scanner = const char* (*)(const char* p, const char* end);

const char* scan_qwen2(const char* p, const char* end);
const char* scan_llama3(const char* p, const char* end);
const char* scan_gpt2(const char* p, const char* end);
const char* scan_tekken(const char* p, const char* end);
const char* scan_gpt4o(const char* p, const char* end);
const char* scan_qwen35(const char* p, const char* end);
const char* scan_digit(const char* p, const char* end);             // Digits, each on its own
const char* scan_three_numbers(const char* p, const char* end);     // \p{N}{1,3}
const char* scan_cjk(const char* p, const char* end);               // DeepSeek: Han, Hiragana, Katakana
const char* scan_deepseek_words(const char* p, const char* end);
const char* scan_marked_words(const char* p, const char* end);      // Metaspace: U+2581 and what follows it
const char* scan_marked_runs(const char* p, const char* end);       // as that, but a run of U+2581 stays together

}  // namespace teeny
