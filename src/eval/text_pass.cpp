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
  Pass(const std::vector<Runner*>& models, Runner* reference, const TextWindows& text, Context& context)
      : models_(models), reference_(reference), text_(text), context_(context), out_(models.size()), reference_scores_(reference ? text.windows.size() : 0) {
    for (TextPass& pass : out_) {
      pass.model.resize(text.windows.size());
      if (reference) pass.divergence.resize(text.windows.size());
    }
  }

  std::vector<TextPass> run() {
    const size_t n = text_.windows.size(), chunk = reference_ ? windows_at_a_time(*reference_, text_, context_) : n;
    context_.progress_start(reference_ ? "perplexity and divergence" : "perplexity", n * (models_.size() + (reference_ ? 1 : 0)));  // score() advances
    for (size_t at = 0; at < n; at += chunk) {
      context_.check_interrupted();
      run_chunk(at, std::min(chunk, n - at));
    }
    context_.progress_finish();
    for (TextPass& pass : out_) pass.reference = reference_scores_;
    return std::move(out_);
  }

 private:
  void run_chunk(size_t at, size_t count) {
    const std::vector<std::vector<int32_t>> windows(text_.windows.begin() + ptrdiff_t(at), text_.windows.begin() + ptrdiff_t(at + count));
    std::vector<Tensor> logits(reference_ ? count : 0);
    if (reference_)
      reference_->score(windows, [&](size_t i, const Tensor& l) {
        reference_scores_[at + i] = score_window(l, windows[i], text_.first);
        logits[i] = l.clone();  // the runner may reuse its buffer
      }, context_);
    for (size_t m = 0; m < models_.size(); ++m)
      models_[m]->score(windows, [&](size_t i, const Tensor& l) {
        out_[m].model[at + i] = score_window(l, windows[i], text_.first);
        if (reference_) out_[m].divergence[at + i] = compare_window(logits[i], l, text_.first);
        if (m + 1 == models_.size() && reference_) logits[i].reset();
      }, context_);
  }

  const std::vector<Runner*>& models_;
  Runner* reference_;
  const TextWindows& text_;
  Context& context_;
  std::vector<TextPass> out_;
  std::vector<WindowScore> reference_scores_;
};
}  // namespace

std::vector<TextPass> run_text_pass(const std::vector<Runner*>& models, Runner* reference, const TextWindows& text, Context& context) {
  return Pass(models, reference, text, context).run();
}

}  // namespace teeny
