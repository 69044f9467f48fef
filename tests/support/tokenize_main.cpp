// tokenize TOKENIZER.json TEXT [REPEAT] : ids to stdout, one line per document; seconds per pass to stderr.
// Documents are separated by NUL bytes. tests/interop/tokenizer_compare.py drives it.
#include <chrono>
#include <iostream>

#include "teeny/core/error.h"
#include "teeny/text/dataset.h"
#include "teeny/text/tokenizer.h"

int main(int argc, char** argv) try {
  if (argc < 3) return std::cerr << "usage: tokenize TOKENIZER.json TEXT [REPEAT]\n", 2;
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const auto seconds = [](auto duration) { return std::chrono::duration<double>(duration).count(); };
  const auto start = now();
  const teeny::Json json = teeny::read_json_file(argv[1], "tokenizer");
  const auto parsed = now();
  const auto tokenizer = teeny::make_tokenizer(teeny::read_tokenizer_json(json, argv[1]), argv[1]);
  std::cerr << fmt::format("parse {:.3f} s, build {:.3f} s\n", seconds(parsed - start), seconds(now() - parsed));
  const std::string text = teeny::read_text(argv[2]);
  std::vector<std::string_view> documents;
  for (size_t at = 0; at <= text.size();) {
    const size_t stop = std::min(text.find('\0', at), text.size());
    documents.push_back(std::string_view(text).substr(at, stop - at));
    at = stop + 1;
  }
  std::vector<std::vector<int32_t>> ids(documents.size());
  for (int pass = 0; pass < (argc > 3 ? std::stoi(argv[3]) : 1); ++pass) {
    const auto begin = now();
    for (size_t i = 0; i < documents.size(); ++i) ids[i] = tokenizer->encode(documents[i]);
    std::cerr << fmt::format("pass {} {:.6f} s\n", pass, seconds(now() - begin));
  }
  for (const auto& list : ids) std::cout << fmt::format("{}\n", fmt::join(list, " "));
} catch (const teeny::Error& e) {
  std::cerr << e.what() << "\n";
  return static_cast<int>(e.kind());
}
