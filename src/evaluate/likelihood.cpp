#include "sagesan/evaluate/likelihood.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sagesan/support/error.h"
#include "sagesan/support/memory.h"

namespace sagesan {
namespace {

constexpr int64_t kTokenBlock = 512;
/// Floats of one block of head rows.
constexpr int64_t kHeadBlock = int64_t{1} << 24;

/// Log-likelihood of `targets` `[n]` under the head applied to `states` `[n, hidden]`, float64
/// `[n]`: a running log-sum-exp over blocks of the vocabulary, so that neither the head nor all
/// logits are held.
Tensor target_log_likelihood(const Decoder& decoder, const ModelConfiguration& model,
                             const Tensor& states, const Tensor& targets,
                             const Progress& progress) {
  const auto options = at::TensorOptions().dtype(at::kDouble).device(states.device());
  const int64_t count = states.size(0);
  Tensor total = at::full({count}, -std::numeric_limits<double>::infinity(), options);
  Tensor chosen = at::zeros({count}, options);
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
    }
    if (progress)
      progress("head", static_cast<double>(first + rows), static_cast<double>(model.vocabulary));
  }
  return chosen - total;
}

}  // namespace

std::vector<TextScore> score_texts(const ModelConfiguration& model, const Checkpoint& checkpoint,
                                   const TokenBatch& batch,
                                   const std::vector<int64_t>& first_scored, at::Device device,
                                   const Progress& progress) {
  SAGESAN_ASSERT(first_scored.size() == batch.lengths.size());
  Decoder decoder(model, checkpoint, device);
  Tensor hidden = decoder.embed(batch);
  for (int64_t layer = 0; layer < model.layer_count(); ++layer) {
    if (progress)
      progress("layers", static_cast<double>(layer), static_cast<double>(model.layer_count()));
    decoder.run_layer(layer, hidden, batch, {}, true, nullptr);
    release_free_memory();
  }
  decoder.run_final_norm(hidden, batch, {}, nullptr);

  // Only positions whose next token is scored meet the head.
  std::vector<int64_t> positions;
  std::vector<int64_t> targets;
  std::vector<TextScore> scores(batch.lengths.size());
  int64_t start = 0;
  for (size_t text = 0; text < batch.lengths.size(); ++text) {
    for (int64_t i = std::max<int64_t>(first_scored[text], 1); i < batch.lengths[text]; ++i) {
      positions.push_back(start + i - 1);
      targets.push_back(batch.ids[static_cast<size_t>(start + i)]);
      ++scores[text].tokens;
    }
    start += batch.lengths[text];
  }
  if (positions.empty()) return scores;
  const Tensor states = hidden.index_select(0, at::tensor(positions, at::kLong).to(device));
  const Tensor log_likelihood =
      target_log_likelihood(decoder, model, states, at::tensor(targets, at::kLong).to(device),
                            progress)
          .cpu();
  const auto* value = log_likelihood.data_ptr<double>();
  for (TextScore& score : scores) {
    for (int64_t i = 0; i < score.tokens; ++i) score.negative_log_likelihood -= *value++;
  }
  return scores;
}

LikelihoodSummary summarize(const std::vector<TextScore>& scores) {
  LikelihoodSummary result;
  double total = 0;
  for (const TextScore& score : scores) {
    if (score.tokens == 0) continue;
    ++result.records;
    result.tokens += score.tokens;
    total += score.negative_log_likelihood;
    result.mean_answer_probability += std::exp(-score.mean());
  }
  if (!std::isfinite(total)) {
    throw Error(ExitCode::kBadInput,
                "the model's likelihoods are not finite: its weights hold NaN or infinity");
  }
  if (result.records == 0) return result;
  result.mean_negative_log_likelihood = total / static_cast<double>(result.tokens);
  result.perplexity = std::exp(result.mean_negative_log_likelihood);
  result.mean_answer_probability /= static_cast<double>(result.records);
  return result;
}

}  // namespace sagesan
