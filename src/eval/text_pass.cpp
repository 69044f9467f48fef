#include "eval/text_pass.h"

#include <algorithm>

namespace teeny {
namespace {

// Logits of the reference that may be held at a time. The CPU runner holds a window's logits on every thread anyway.
constexpr int64_t kLogitBytes = int64_t(2) << 30;

size_t windows_at_a_time(const Runner& model, const TextWindows& text, const Context& context) {
  const int64_t window_bytes = std::max<int64_t>(1, text.ctx * model.spec().vocab * 4);
  const int64_t lanes = context.device.starts_with("cuda") ? 1 : context.thread_count();
  return size_t(std::clamp<int64_t>(kLogitBytes / window_bytes, lanes, std::max<int64_t>(2 * lanes, 8)));
}

class Pass {
 public:
  Pass(Runner& model, Runner* reference, const TextWindows& text, Context& context) : model_(model), reference_(reference), text_(text), context_(context) {
    out_.model.resize(text.windows.size());
    if (!reference) return;
    out_.reference.resize(text.windows.size());
    out_.divergence.resize(text.windows.size());
  }

  TextPass run() {
    const size_t n = text_.windows.size(), chunk = reference_ ? windows_at_a_time(model_, text_, context_) : n;
    context_.progress_start(reference_ ? "perplexity and divergence" : "perplexity", reference_ ? 2 * n : n);  // score() advances
    for (size_t at = 0; at < n; at += chunk) {
      context_.check_interrupted();
      run_chunk(at, std::min(chunk, n - at));
    }
    context_.progress_finish();
    return std::move(out_);
  }

 private:
  void run_chunk(size_t at, size_t count) {
    const std::vector<std::vector<int32_t>> windows(text_.windows.begin() + ptrdiff_t(at), text_.windows.begin() + ptrdiff_t(at + count));
    std::vector<Tensor> logits(reference_ ? count : 0);
    if (reference_)
      reference_->score(windows, [&](size_t i, const Tensor& l) {
        out_.reference[at + i] = score_window(l, windows[i], text_.first);
        logits[i] = l.clone();  // the runner may reuse its buffer
      }, context_);
    model_.score(windows, [&](size_t i, const Tensor& l) {
      out_.model[at + i] = score_window(l, windows[i], text_.first);
      if (reference_) {
        out_.divergence[at + i] = compare_window(logits[i], l, text_.first);
        logits[i].reset();
      }
    }, context_);
  }

  Runner& model_;
  Runner* reference_;
  const TextWindows& text_;
  Context& context_;
  TextPass out_;
};
}  // namespace

TextPass run_text_pass(Runner& model, Runner* reference, const TextWindows& text, Context& context) {
  return Pass(model, reference, text, context).run();
}

}  // namespace teeny
