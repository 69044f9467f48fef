#include "eval/windows.h"

#include "teeny/core/error.h"
#include "teeny/text/dataset.h"

namespace teeny {
namespace {

std::string directory_of(const Runner& model) {
  const auto& source = model.source();
  if (const auto directory = source.directory(); !directory.empty()) return directory;
  const auto slash = source.path().find_last_of('/');
  return slash == std::string::npos ? "." : source.path().substr(0, slash);
}

std::string choose_text(const EvalOptions& options, const Runner& model) {
  if (!options.text.empty()) return options.text;
  if (const auto own = path_join(directory_of(model), "eval.txt"); path_exists(own)) return own;
  if (const auto shipped = path_join(shipped_model_directory(), "eval.txt"); path_exists(shipped) && has_shipped_tokenizer(model.tokenizer())) return shipped;
  throw usage_error("eval", "--text", "no text stands beside {} and the shipped one belongs to another tokenizer; pass --text FILE, e.g. wiki.test.raw of WikiText-2",
                    model.source().path());
}

std::vector<int32_t> tokenize(const std::string& text, const Tokenizer& tokenizer) { return tokenizer.encode(text, true); }
}  // namespace

std::string shipped_model_directory() { return path_join(config_directory(), "models/teeny-demo-7m"); }

bool has_shipped_tokenizer(const Tokenizer& tokenizer) {
  const auto path = path_join(shipped_model_directory(), "tokenizer.json");
  if (!path_exists(path)) return false;
  const BpeData shipped = read_tokenizer_json(read_json_file(path, "eval"), path);
  return shipped.merges == tokenizer.data().merges;
}

TextWindows load_windows(const EvalOptions& options, const Runner& model) {
  TextWindows out;
  out.protocol = options.ppl_protocol;
  out.ctx = options.ctx;
  if (out.ctx < 4) throw usage_error("eval", "--ctx", "is {}, expected at least 4 tokens", out.ctx);
  if (const int64_t context = model.spec().context; context > 0 && out.ctx > context)
    throw usage_error("eval", "--ctx", "is {}, but the model's context is {} tokens; pass --ctx {} or less", out.ctx, context, context);
  out.path = choose_text(options, model);
  const std::string text = read_text(out.path);
  out.sha256 = sha256_hex(text);
  const auto& tokenizer = model.tokenizer();
  const auto ids = tokenize(text, tokenizer);
  out.tokens = int64_t(ids.size());
  if (out.tokens < out.ctx)
    throw input_error("eval", out.path, "has {} tokens, fewer than one window of {}; pass a longer --text or a smaller --ctx", out.tokens, out.ctx);
  for (int64_t at = 0; at + out.ctx <= out.tokens; at += out.ctx) out.windows.emplace_back(ids.begin() + at, ids.begin() + at + out.ctx);
  if (out.protocol == "llama.cpp") {
    out.first = out.ctx / 2;
    if (const auto& data = tokenizer.data(); data.add_bos && data.bos >= 0)
      for (auto& window : out.windows) window[0] = data.bos;
  }
  if (options.limit > 0 && int64_t(out.windows.size()) > options.limit) out.windows.resize(size_t(options.limit));
  return out;
}

void require_same_tokens(const TextWindows& text, const Runner& model, const Runner& reference) {
  const auto& a = model.tokenizer();
  const auto& b = reference.tokenizer();
  if (a.data().merges == b.data().merges && a.data().tokens == b.data().tokens) return;
  const std::string content = read_text(text.path);
  const auto ids = tokenize(content, a), other = tokenize(content, b);
  if (ids != other)
    throw input_error("eval", reference.source().path(), "reads {} as {} tokens, {} as {}: both are scored on the same windows; give models with the same tokenizer",
                      text.path, other.size(), model.source().path(), ids.size());
}

}  // namespace teeny
