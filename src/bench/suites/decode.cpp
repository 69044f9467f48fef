// Decode: G steps of one token a sequence, behind D tokens. One more repetition times every step by itself.
#include "bench/timer.h"

namespace teeny {
namespace {

// Decoding needs a token to go on from: the cache holds one more than the depth.
void start(Timer& timer, const Tensor& first, int64_t depth) {
  timer.start_at(depth);
  timer.session().prefill(first);
}
}  // namespace

std::optional<CaseSpec> decode_reduce(const CaseSpec& c) {
  if (c.generate < 1) return std::nullopt;
  return CaseSpec{.prompt = 0, .generate = c.generate, .depth = c.depth, .batch = c.batch};
}

std::string decode_label(const CaseSpec& spec) { return "decode " + std::to_string(spec.generate); }

CaseTimes time_decode(Timer& timer, const CaseSpec& spec) {
  CaseTimes out;
  out.tokens = double(spec.generate * spec.batch);
  const Tensor first = timer.tokens(1);
  timer.repeat(out, [&](bool keep) {
    start(timer, first, spec.depth);
    const double begin = timer.now();
    timer.session().decode(spec.generate);
    const double end = timer.now();
    if (keep) out.seconds.push_back(end - begin);
  });
  start(timer, first, spec.depth);
  double before = timer.now();
  for (int64_t i = 0; i < spec.generate; ++i) {
    timer.session().decode(1);
    const double after = timer.now();
    out.token_s.push_back(after - before);
    before = after;
  }
  return out;
}

}  // namespace teeny
