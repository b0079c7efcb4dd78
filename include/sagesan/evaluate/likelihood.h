#pragma once

#include <cstdint>
#include <vector>

#include "sagesan/evaluate/text_score.h"
#include "sagesan/model/decoder.h"
#include "sagesan/support/progress.h"

namespace sagesan {

/// Texts on their way through a model, a layer at a time, so that several models can go along with
/// one another: what one layer needs is in memory once.
class ScoringRun {
 public:
  /// Scores of every text of `batch` the tokens from index `first_scored[i]` on (at least 1: the
  /// first token of a text has nothing before it). All of them must outlive this.
  ScoringRun(const ModelConfiguration& model, const Checkpoint& checkpoint, const TokenBatch& batch,
             const std::vector<int64_t>& first_scored, at::Device device);

  // In this order; `checkpoint` is read for what each of them needs alone.
  void embed();
  void run_layer(int64_t layer);
  /// The final norm, and the head in blocks of vocabulary rows. A text without a scored token has
  /// an empty score. Throws `InputError` where a likelihood is not finite.
  std::vector<TextScore> finish(const Progress& progress);

 private:
  const ModelConfiguration& model_;
  const TokenBatch& batch_;
  const std::vector<int64_t>& first_scored_;
  at::Device device_;
  Decoder decoder_;
  HiddenStates hidden_;
};

/// The scores of one model: all of a `ScoringRun`, one pass over the checkpoint.
std::vector<TextScore> score_texts(const ModelConfiguration& model, const Checkpoint& checkpoint,
                                   const TokenBatch& batch,
                                   const std::vector<int64_t>& first_scored, at::Device device,
                                   const Progress& progress);

}  // namespace sagesan
