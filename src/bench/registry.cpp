// The table of suites: one line each, in the order in which they are timed.
#include "bench/bench.h"

namespace teeny {

const std::vector<Suite>& bench_suites() {
  static const std::vector<Suite> suites{
      {"prefill", "tokens/s of reading a prompt", prefill_reduce, prefill_label, time_prefill},
      {"decode", "tokens/s of writing, one token a step", decode_reduce, decode_label, time_decode},
      {"response", "seconds from a prompt to its whole answer", response_reduce, response_label, time_response},
  };
  return suites;
}

}  // namespace teeny
