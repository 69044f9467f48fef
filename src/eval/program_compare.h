// Paired comparison of two models on one problem set, and the stored verdicts of a reference that many variants share.
#pragma once
#include "eval/completions.h"

namespace teeny {

// Of the reference named by --reference: from the cache (cached = true) or generated and judged now, then stored.
std::vector<ProblemResult> reference_results(EvalJob& job, const ProgramSettings& settings, bool& cached);
std::string reference_cache_path(const Json& key);
Json reference_cache_key(const std::string& fingerprint, const std::string& device, const ProgramSettings& settings);

// One entry of the record's `comparison`: difference = ours - theirs over the problems that both could be judged on.
Json compare_programs(const std::string& reference, const std::string& task, const std::vector<ProblemResult>& ours, const std::vector<ProblemResult>& theirs, bool cached,
                      double equivalence_margin = -1);

}  // namespace teeny
