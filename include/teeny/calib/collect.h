// Statistics of the inputs of a block's linears, gathered by running the block on the calibration windows.
#pragma once
#include <array>
#include <optional>
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
  Tensor largest;   // (K) f32: max |x|
  int64_t tokens = 0;
  Tensor half_square;      // square of every second window only
  int64_t half_tokens = 0;
  // How alike E[x^2] of the two halves of the windows is: 1 - sum |a - b| / sum (a + b), 1 for equal. Nothing with one window.
  std::optional<double> agreement() const;
  Tensor importance() const { return square / double(std::max<int64_t>(1, tokens)); }  // E[x^2]
};

// ||X (W - Q)|| / ||X W|| from the inputs' Gram matrix (K, K), whatever it was divided by.
double output_error(const Tensor& w, const Tensor& quantized, const Tensor& gram);

// The hidden states of all windows at the current block, (B, T, H) each: one window f32 on the CPU, some of one length
// together on a GPU, f32 or bf16. Statistics are f32 wherever they are.
using HiddenStates = std::vector<Tensor>;

// What of a block is run: all of it, or a half of it on states that stand before that half.
enum class Part { Whole, Attention, Mlp };

// Gathers the inputs in `inputs` (of 0..3), running no further than the last of them, or to the end where `moved` (which may be
// &hidden) wants what comes out. Deterministic for any thread count.
// Input error naming the linears of `layer` when an input is all zero or not finite: nothing can be calibrated by that.
std::array<InputStats, 4> collect(const ModelSpec& spec, const Block& block, const HiddenStates& hidden, const Rope& rope, const std::vector<int>& inputs,
                                  bool with_gram, Context& context, int64_t layer = -1, Part part = Part::Whole, HiddenStates* moved = nullptr);
// Rows of all four inputs from the first windows, (T, K) each with T at least `tokens` where there are as many.
std::array<Tensor, 4> sample_inputs(const ModelSpec& spec, const Block& block, const HiddenStates& hidden, const Rope& rope, int64_t tokens);
// Moves all hidden states through the block, or through a half of it.
void advance(const ModelSpec& spec, const Block& block, HiddenStates& hidden, const Rope& rope, Context& context, Part part = Part::Whole);

}  // namespace teeny
