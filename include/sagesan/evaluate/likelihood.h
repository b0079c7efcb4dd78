#pragma once

#include <cstdint>
#include <vector>

#include "sagesan/evaluate/summary.h"
#include "sagesan/model/decoder.h"
#include "sagesan/support/progress.h"

namespace sagesan {

/// What a model thinks of one text.
struct TextScore {
  double negative_log_likelihood = 0;  ///< sum over the scored tokens, nats
  int64_t tokens = 0;                  ///< how many were scored

  double mean() const { return negative_log_likelihood / static_cast<double>(tokens); }
};

/// Scores every text of `batch`: the tokens from index `first_scored[i]` on (at least 1: the first
/// token of a text has nothing before it). One pass over the checkpoint, layer by layer; the head
/// in blocks of vocabulary rows. A text without a scored token has `tokens` 0.
std::vector<TextScore> score_texts(const ModelConfiguration& model, const Checkpoint& checkpoint,
                                   const TokenBatch& batch,
                                   const std::vector<int64_t>& first_scored, at::Device device,
                                   const Progress& progress);

/// The figures of all texts together. Throws `Error` where a score is not finite. Texts without a
/// scored token do not count.
LikelihoodSummary summarize(const std::vector<TextScore>& scores);

}  // namespace sagesan
