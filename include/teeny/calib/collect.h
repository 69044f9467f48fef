// Statistics of the inputs of a block's linears, gathered by running the block on the calibration windows.
#pragma once
#include <array>
#include <vector>

#include "teeny/core/context.h"
#include "teeny/model/block.h"

namespace teeny {

// Of one input (LinearSlot::input) with K columns, over T tokens.
struct InputStats {
  Tensor gram;      // (K, K) f32: sum of x x^T over the tokens; undefined unless asked for
  Tensor square;    // (K) f32: sum of x^2
  Tensor absolute;  // (K) f32: sum of |x|
  Tensor sum;       // (K) f32: sum of x
  int64_t tokens = 0;
  Tensor importance() const { return square / double(std::max<int64_t>(1, tokens)); }  // E[x^2]
};

// The hidden states of all windows at the current block, (1, T, H) each.
using HiddenStates = std::vector<Tensor>;

// Gathers the inputs in `inputs` (of 0..3), running no further than the last of them. Deterministic for any thread count.
std::array<InputStats, 4> collect(const ModelSpec& spec, const Block& block, const HiddenStates& hidden, const Rope& rope, const std::vector<int>& inputs,
                                  bool with_gram, Context& context);
// Moves all hidden states through the block.
void advance(const ModelSpec& spec, const Block& block, HiddenStates& hidden, const Rope& rope, Context& context);

}  // namespace teeny
