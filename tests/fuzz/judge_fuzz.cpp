// Any bytes as a model's answer, in every language, and as netstrings: a program comes out, or nothing. The first byte
// chooses the language. clang -fsanitize=fuzzer,address,undefined.
#include <cstdint>
#include <string>

#include "judge/language.h"
#include "teeny/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto& all = teeny::judge::languages();
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  teeny::Problem p;
  p.language = all[data[0] % all.size()].id;
  p.entry_point = "twice";
  p.prompt = p.language == "java" || p.language == "cs" ? "import a;\nclass Problem {\n    public static long twice(long n) {\n" : "long twice(long n) {\n";
  p.test = p.language == "js" || p.language == "ts" || p.language == "php" || p.language == "python" ? "test();" : "}\ntest();";
  const std::string program = teeny::extract_program(p, text), cut = teeny::cut_completion(p.language, text);
  if (cut.size() > text.size()) __builtin_trap();
  size_t sum = 0;
  for (const std::string& field : teeny::judge::netstrings(text)) sum += field.size();
  if (sum > text.size()) __builtin_trap();
  try {
    const auto* language = teeny::judge::find_language(p.language);
    if (language->worker_source) language->worker_source(p, program);
  } catch (const teeny::Error&) {
  }
  return 0;
}
