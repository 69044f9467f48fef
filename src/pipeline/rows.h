// Weights whose rows stand alone in the source and in the output: streamed, whatever their size.
#pragma once
#include "pipeline/job.h"

namespace teeny {

// Writes the tensor in pieces of rows, each one thread's from reading to writing, and records its error. False, with
// nothing done, when the rows of its source or of its output do not stand alone or stand in another order.
bool write_in_rows(QuantizeJob& job, const PlannedTensor& tensor);

}  // namespace teeny
