#include "sagesan/evaluate/likelihood.h"

#include <algorithm>
#include <limits>

#include "sagesan/support/error.h"
#include "sagesan/support/memory.h"

namespace sagesan {
namespace {

constexpr int64_t kTokenBlock = 512;
/// Floats of one block of head rows.
constexpr int64_t kHeadBlock = int64_t{1} << 22;

struct TargetScores {
  Tensor log_likelihood;  ///< float64 `[n]`
  Tensor best;            ///< int64 `[n]`, the likeliest token; of several the first
};

/// Scores `targets` `[n]` under the head applied to `states` `[n, hidden]`: a running log-sum-exp
/// and maximum over blocks of the vocabulary, so that neither the head nor all logits are held.
TargetScores score_targets(const Decoder& decoder, const ModelConfiguration& model,
                           const Tensor& states, const Tensor& targets, const Progress& progress) {
  const auto options = at::TensorOptions().dtype(at::kDouble).device(states.device());
  const int64_t count = states.size(0);
  Tensor total = at::full({count}, -std::numeric_limits<double>::infinity(), options);
  Tensor chosen = at::zeros({count}, options);
  Tensor highest = total.clone();
  Tensor best = at::zeros({count}, options.dtype(at::kLong));
  const int64_t step = std::max<int64_t>(1024, kHeadBlock / model.hidden_size);
  for (int64_t first = 0; first < model.vocabulary; first += step) {
    const int64_t rows = std::min(step, model.vocabulary - first);
    const Decoder::HeadRows head = decoder.head_rows(first, rows);
    for (int64_t start = 0; start < count; start += kTokenBlock) {
      const int64_t n = std::min(kTokenBlock, count - start);
      const Tensor logits = head.logits(states.narrow(0, start, n));
      Tensor sum = total.narrow(0, start, n);
      sum.copy_(at::logaddexp(sum, at::logsumexp(logits, {1}).to(at::kDouble)));
      const Tensor local = targets.narrow(0, start, n) - first;
      const Tensor here = local.ge(0).logical_and(local.lt(rows));
      const Tensor picked =
          logits.gather(1, local.clamp(0, rows - 1).unsqueeze(1)).squeeze(1).to(at::kDouble);
      Tensor out = chosen.narrow(0, start, n);
      out.copy_(at::where(here, picked, out));
      const auto [value, index] = logits.max(1);
      Tensor most = highest.narrow(0, start, n);
      Tensor token = best.narrow(0, start, n);
      const Tensor wide = value.to(at::kDouble);
      const Tensor higher = wide > most;
      token.copy_(at::where(higher, index + first, token));
      most.copy_(at::where(higher, wide, most));
    }
    if (progress)
      progress("head", static_cast<double>(first + rows), static_cast<double>(model.vocabulary));
  }
  return {chosen - total, best};
}

}  // namespace

ScoringRun::ScoringRun(const ModelConfiguration& model, const Checkpoint& checkpoint,
                       const TokenBatch& batch, const std::vector<int64_t>& first_scored,
                       at::Device device)
    : model_(model),
      batch_(batch),
      first_scored_(first_scored),
      device_(device),
      decoder_(model, checkpoint, device) {
  SAGESAN_ASSERT(first_scored.size() == batch.lengths.size());
}

void ScoringRun::embed() { hidden_ = decoder_.embed(batch_); }

void ScoringRun::run_layer(int64_t layer) {
  decoder_.run_layer(layer, hidden_, batch_, {}, true, nullptr);
}

std::vector<TextScore> ScoringRun::finish(const Progress& progress) {
  decoder_.run_final_norm(hidden_, batch_, {}, nullptr);
  // Only positions whose next token is scored meet the head.
  std::vector<int64_t> positions;
  std::vector<int64_t> targets;
  std::vector<int64_t> counts(batch_.lengths.size());
  int64_t start = 0;
  for (size_t text = 0; text < batch_.lengths.size(); ++text) {
    for (int64_t i = std::max<int64_t>(first_scored_[text], 1); i < batch_.lengths[text]; ++i) {
      positions.push_back(start + i - 1);
      targets.push_back(batch_.ids[static_cast<size_t>(start + i)]);
      ++counts[text];
    }
    start += batch_.lengths[text];
  }
  std::vector<TextScore> scores(batch_.lengths.size());
  if (positions.empty()) return scores;
  const Tensor states =
      hidden_.tensor().index_select(0, at::tensor(positions, at::kLong).to(device_));
  const Tensor expected = at::tensor(targets, at::kLong).to(device_);
  const TargetScores found = score_targets(decoder_, model_, states, expected, progress);
  decoder_.require_finite(found.log_likelihood, "likelihoods");
  const Tensor log_likelihood = found.log_likelihood.cpu();
  const Tensor greedy = (found.best == expected).cpu();
  const auto* value = log_likelihood.data_ptr<double>();
  const auto* right = greedy.data_ptr<bool>();
  for (size_t text = 0; text < scores.size(); ++text) {
    scores[text].log_likelihoods.assign(value, value + counts[text]);
    scores[text].greedy.assign(right, right + counts[text]);
    value += counts[text];
    right += counts[text];
  }
  return scores;
}

std::vector<TextScore> score_texts(const ModelConfiguration& model, const Checkpoint& checkpoint,
                                   const TokenBatch& batch,
                                   const std::vector<int64_t>& first_scored, at::Device device,
                                   const Progress& progress) {
  ScoringRun run(model, checkpoint, batch, first_scored, device);
  run.embed();
  for (int64_t layer = 0; layer < model.layer_count(); ++layer) {
    if (progress)
      progress("layers", static_cast<double>(layer), static_cast<double>(model.layer_count()));
    run.run_layer(layer);
    release_free_memory();
  }
  return run.finish(progress);
}

}  // namespace sagesan
