#pragma once

#include <vector>

#include "sagesan/jobs/sweep.h"
#include "score_candidates.h"

namespace sagesan {

/// Every combination of the options, each once: uniform scaling and the hard projection first.
std::vector<SweepCandidate> list_candidates(const SweepOptions& options);

/// Candidates a step away from the best of each method in `result`, in strength and in gain; none
/// that are there already.
std::vector<SweepCandidate> refine_candidates(const SweepResult& result);

/// How `sanitize` makes a candidate.
SanitizeOptions options_of(const SweepCandidate& candidate, const SanitizeOptions& shared);

/// Evaluates `candidates`, adds them to `result` and judges all that are there.
void evaluate_candidates(const SanitizeInputs& inputs, const UpdateVector& updates,
                         const SanitizeOptions& shared, const JudgingTexts& texts,
                         std::vector<SweepCandidate> candidates, SweepResult& result,
                         const Progress& progress);

}  // namespace sagesan
