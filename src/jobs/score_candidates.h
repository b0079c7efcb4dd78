#pragma once

#include <vector>

#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/evaluate/text_score.h"
#include "sanitize_inputs.h"

namespace sagesan {

/// What candidates are judged by: texts that were to be forgotten, and then others to be kept.
struct JudgingTexts {
  TokenBatch batch;
  std::vector<int64_t> first_scored;
  size_t forget = 0;  ///< how many of the texts come first

  /// `forget` may only be added before the others.
  void add(const TokenData& data, bool forget);
};

/// What a model makes of both.
struct Judgement {
  LikelihoodSummary forget, retain;
};

/// Of all that were asked for, in their order.
struct Judgements {
  Judgement base, unlearned;
  std::vector<Judgement> candidates;
};

/// Runs base, unlearned and every candidate through the texts without writing one: layer by layer
/// side by side, the moments of a layer decomposed once for all. In memory at a time: one layer's
/// directions, one layer of one candidate, and the hidden states of all candidates. A candidate's
/// options say how it is solved; of the rest all have the same. Throws as `sanitize` does, and
/// where a candidate's likelihoods are not finite.
Judgements score_candidates(const SanitizeInputs& inputs, const UpdateVector& updates,
                            const std::vector<SanitizeOptions>& candidates,
                            const JudgingTexts& texts, const Progress& progress);

}  // namespace sagesan
