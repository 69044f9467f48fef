// The words of the command line resolved to one method, bits, format and granularity: interface.md's table of defaults.
#pragma once
#include "teeny/plan/plan.h"

namespace teeny {

struct Choice {
  std::string method, format, type, granularity;
  int bits = 4;
  int64_t group = 128;
  bool symmetric = true;
  bool ordered = false;   // columns grouped in the order of their importance (--desc-act)
  int act_bits = 16;
  bool act_static = false;
};

Choice resolve(const QuantizeOptions& options);
// The encoding of a decoder linear in a Hugging Face container.
EncodingSpec linear_encoding(const Choice& choice);

}  // namespace teeny
