// One pass over a text for everything that is asked of it: perplexity of the models, and, beside a reference, the reference's
// perplexity and the divergence of each model from it. The reference runs once, whatever the number of models; logits are
// never stored beyond a few windows.
#pragma once
#include <vector>

#include "eval/scoring.h"
#include "eval/windows.h"
#include "teeny/core/context.h"
#include "teeny/runtime/runner.h"

namespace teeny {

struct TextPass {
  std::vector<WindowScore> model, reference;  // one a window; reference empty without one
  std::vector<WindowDivergence> divergence;   // empty without a reference
};

// One result a model, in order.
std::vector<TextPass> run_text_pass(const std::vector<Runner*>& models, Runner* reference, const TextWindows& text, Context& context);

}  // namespace teeny
