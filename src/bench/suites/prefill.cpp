// Prefill: P tokens in one call, behind D tokens that the cache already holds.
#include "bench/timer.h"

namespace teeny {

std::optional<CaseSpec> prefill_reduce(const CaseSpec& c) {
  if (c.prompt < 1) return std::nullopt;
  return CaseSpec{.prompt = c.prompt, .generate = 0, .depth = c.depth, .batch = c.batch};
}

std::string prefill_label(const CaseSpec& spec) { return "prefill " + std::to_string(spec.prompt); }

CaseTimes time_prefill(Timer& timer, const CaseSpec& spec) {
  CaseTimes out;
  out.tokens = double(spec.prompt * spec.batch);
  const Tensor prompt = timer.tokens(spec.prompt);
  timer.repeat(out, [&](bool keep) {
    timer.start_at(spec.depth);
    const double begin = timer.now();
    timer.session().prefill(prompt);
    const double end = timer.now();
    if (!keep) return;
    out.seconds.push_back(end - begin);
    out.first_token_s.push_back(end - begin);
  });
  return out;
}

}  // namespace teeny
