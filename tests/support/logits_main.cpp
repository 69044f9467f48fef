// logits MODEL [--last] < IDS > LOGITS: one line of token ids a window in, raw f32 logits (T, V) of each window out, or only
// those of its last token. CPU, float32. The scripts of tests/interop compare them with peers.
#include <iostream>
#include <sstream>

#include "teeny/core/error.h"
#include "teeny/runtime/runner.h"

int main(int argc, char** argv) try {
  if (argc < 2) return std::cerr << "usage: logits MODEL [--last] < IDS\n", 2;
  const bool last = argc > 2 && std::string(argv[2]) == "--last";
  std::vector<std::vector<int32_t>> windows;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    windows.emplace_back();
    for (int32_t id; words >> id;) windows.back().push_back(id);
  }
  teeny::Context context;
  const auto runner = teeny::load_runner(teeny::open_source(argv[1]), context);
  std::vector<teeny::Tensor> results(windows.size());
  runner->score(windows, [&](size_t i, const teeny::Tensor& logits) { results[i] = (last ? logits.slice(0, logits.size(0) - 1) : logits).to(at::kFloat).clone(); }, context);
  for (const auto& logits : results) {
    const auto rows = logits.contiguous();
    std::cout.write(static_cast<const char*>(rows.const_data_ptr()), std::streamsize(rows.nbytes()));
  }
} catch (const teeny::Error& e) {
  std::cerr << e.what() << "\n";
  return static_cast<int>(e.kind());
}
