// Which channels of a block may be scaled without changing what it computes, and the scaling itself.
#pragma once
#include <vector>

#include "teeny/family/spec.h"
#include "teeny/model/block.h"

namespace teeny {

// Linears that share a scaled input, and what the inverse scale is folded into.
struct ScaleGroup {
  const char* name;
  std::vector<size_t> consumers;  // indices into Block::linears
  int input;                      // LinearSlot::input
  Tensor* norm = nullptr;         // folded into this norm ...
  Linear* producer = nullptr;     // ... or into the rows of this linear
  // Columns of the consumers that one row of the producer feeds: `heads` blocks of `width` columns, `copies` neighbouring
  // blocks alike (grouped queries: the query heads of one value head).
  int64_t copies = 1, width = 0;
};
// The nearest scales (geometrically) that the group can take: equal for columns that one row feeds.
Tensor tied(const ScaleGroup& group, const Tensor& s);
std::vector<ScaleGroup> scale_groups(const ModelSpec& spec, Block& block);

// Multiplies the consumers' columns by s and divides what is before them. Norms stay exactly representable in `norm_type`:
// the scale that this leaves is what was applied, and is returned.
Tensor fold(Block& block, const ScaleGroup& group, const Tensor& s, at::ScalarType norm_type);

}  // namespace teeny
