// What is decided over all comparisons of a run: corrected p values, and the checks that a pipeline asked for.
#pragma once
#include <vector>

#include "eval/job.h"

namespace teeny {

// Fills p_holm of every comparison, and of every test of equivalence, that has a p: all models of a run together.
void adjust_for_multiplicity(std::deque<EvalJob>& jobs);

// --fail-if-loss, --require-loss-below: false when one fails. details.check = {passed, message} is filled whenever one was
// asked for; cli turns the record's status "check-failed" into exit code 5 with the message of the warning of that code.
bool run_checks(EvalJob& job);

}  // namespace teeny
