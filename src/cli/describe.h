// What a model on disk is, from headers and configuration alone: the data behind `teeny inspect`.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "teeny/containers/source.h"
#include "teeny/family/spec.h"

namespace teeny::cli {

struct EncodingUse {
  int64_t tensors = 0;   // a quantized weight counts once, whatever its parts
  int64_t weights = 0;   // elements that it stands for
  uint64_t bytes = 0;    // of all its parts
};
// By encoding name ("gptq_int4_g128_sym", "Q4_K", "BF16").
std::map<std::string, EncodingUse> count_encodings(const TensorSource& source, const QuantConfig& quant);

// The record's "model" object of a file whose family is not known (family/describe.h has the one for models).
Json describe_file(const TensorSource& source, bool hash);

}  // namespace teeny::cli
