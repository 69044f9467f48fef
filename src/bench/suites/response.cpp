// Response: what a user waits for. P prompt tokens give the first new token; G - 1 steps give the others.
#include "bench/timer.h"

namespace teeny {

std::optional<CaseSpec> response_reduce(const CaseSpec& c) {
  if (c.prompt < 1 || c.generate < 1) return std::nullopt;
  return c;
}

std::string response_label(const CaseSpec& spec) { return "response " + std::to_string(spec.prompt) + "+" + std::to_string(spec.generate); }

CaseTimes time_response(Timer& timer, const CaseSpec& spec) {
  CaseTimes out;
  out.tokens = double(spec.generate * spec.batch);
  const Tensor prompt = timer.tokens(spec.prompt);
  timer.repeat(out, [&](bool keep) {
    timer.start_at(spec.depth);
    const double begin = timer.now();
    timer.session().prefill(prompt);
    const double first = timer.now();
    if (spec.generate > 1) timer.session().decode(spec.generate - 1);
    const double end = timer.now();
    if (!keep) return;
    out.first_token_s.push_back(first - begin);
    out.seconds.push_back(end - begin);
  });
  return out;
}

}  // namespace teeny
