// Calibration text that the model writes itself.
#pragma once
#include "teeny/calib/calibration.h"
#include "teeny/containers/source.h"
#include "teeny/core/engine.h"
#include "teeny/family/spec.h"

namespace teeny {

// Documents sampled from the model at temperature 1 and packed into windows (Williams, Chrysostomou, Aletras: Self-calibration
// for Language Model Quantization and Pruning, NAACL 2025). All is plain text that starts from the BOS token; for a model with
// a chat template every second window is of conversations: the model first writes the user's turn, where the template leaves
// it to the user, then its own answer (Xu et al., Magpie, arXiv 2406.08464).
// Tokens that begin and end documents are not kept, as in calibration from a file: what a model computes at them is of
// another size than all else (Sun et al., Massive Activations in Large Language Models, arXiv 2402.17762), and with several
// in each window the statistics would describe them and not text. What was written is encoded like a file's text. The same for every thread count.
Calibration write_calibration(const TensorSource& source, const QuantizeOptions& options, Context& context);

}  // namespace teeny
