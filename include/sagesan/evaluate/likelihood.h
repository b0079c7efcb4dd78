#pragma once

#include <cstdint>
#include <vector>

#include "sagesan/evaluate/text_score.h"
#include "sagesan/model/decoder.h"
#include "sagesan/support/progress.h"

namespace sagesan {

/// Scores every text of `batch`: the tokens from index `first_scored[i]` on (at least 1: the first
/// token of a text has nothing before it). One pass over the checkpoint, layer by layer; the head
/// in blocks of vocabulary rows. A text without a scored token has an empty score. Throws `Error`
/// where a likelihood is not finite.
std::vector<TextScore> score_texts(const ModelConfiguration& model, const Checkpoint& checkpoint,
                                   const TokenBatch& batch,
                                   const std::vector<int64_t>& first_scored, at::Device device,
                                   const Progress& progress);

}  // namespace sagesan
