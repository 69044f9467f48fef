// How far the output distributions of two models are apart, from the hidden states after their last blocks.
#pragma once
#include "pipeline/embed.h"
#include "teeny/core/context.h"
#include "teeny/model/block.h"

namespace teeny {

// Final norm and output matrix, f32.
struct Head {
  Tensor norm, weight;  // (H), (V, H)
};
Head load_head(const WeightLoader& loader, const ModelSpec& spec);

// Means over all positions of all windows but the last of each, in nats.
struct Divergence {
  double kld = 0;  // KL(reference || variant)
  double nll = 0;  // rise of the negative log-likelihood of the text
};

// A variant's hidden states are one (1, T, H) a window, in the order of the reference's. Deterministic for any thread count.
std::vector<Divergence> divergences(const ModelSpec& spec, const Head& reference, const HiddenStates& hidden, const Head& variant, const std::vector<const Tensor*>& variants,
                                    const Windows& windows, const Context& context);

// Both models block by block, one block of each in memory at a time.
Divergence compare_models(const TensorSource& reference, const TensorSource& variant, const Windows& windows, Context& context);

}  // namespace teeny
