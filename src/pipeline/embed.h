// The hidden states that a model's first block is given.
#pragma once
#include "pipeline/place.h"
#include "teeny/calib/calibration.h"
#include "teeny/calib/collect.h"
#include "teeny/containers/source.h"
#include "teeny/model/loader.h"

namespace teeny {

using Windows = std::vector<std::vector<int32_t>>;

// One (1, T, H) a window, f32 on the CPU; on a GPU gathered, in the place's dtype (place.h). Only the rows that are needed are read where the table is a plain one. Input error naming
// `subject` for a token outside the vocabulary.
HiddenStates embed_windows(const TensorSource& source, const WeightLoader& loader, const ModelSpec& spec, const Windows& windows, const std::string& subject,
                           const Place& place = {});
int64_t longest(const Windows& windows);  // tokens of the longest window, at least 1

}  // namespace teeny
