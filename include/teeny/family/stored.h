// How one weight of a model file is stored, from headers alone, and from zero points where labels are known to lie.
#pragma once
#include <string>

#include "teeny/core/encoding_spec.h"
#include "teeny/family/spec.h"

namespace teeny {

struct StoredWeight {
  EncodingSpec encoding;             // Plain when it is not quantized
  bool label_contradicted = false;   // GPTQ: the stored zero points are not of the version that the config names
  bool quantized() const { return encoding.kind != EncodingKind::Plain; }
};

// `module` without ".weight". Input error when no form of it is in the file, or when config and tensors disagree.
StoredWeight stored_weight(const TensorSource& source, const QuantConfig& quant, const std::string& module, int64_t N, int64_t K);

// What decides whether codes fit another format; reads g_idx and zero points.
bool groups_in_order(const TensorSource& source, const StoredWeight& stored, const std::string& module, int64_t K);  // g_idx[k] = k / group
bool has_zero_point_0(const TensorSource& source, const StoredWeight& stored, const std::string& module);

// bitsandbytes' 4-bit weights: the JSON in <m>.weight.quant_state.bitsandbytes__nf4 (or fp4).
struct Bnb4State {
  bool nf4 = true;
  int64_t block = 64, nested_block = 256;
  double nested_offset = 0;
  std::vector<int64_t> shape;
};
Bnb4State parse_bnb4_state(std::string_view text, std::string_view subject);
// The state of a module's weight, or nullopt when it is not of that kind.
std::optional<Bnb4State> read_bnb4_state(const TensorSource& source, const std::string& module);

}  // namespace teeny
