#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "pair_maker/answers.h"
#include "pair_maker/llama.h"
#include "sagesan/support/progress.h"
#include "sagesan/support/tensor.h"

namespace sagesan::demo {

/// A model that has learned the answers of all `examples` (the loss counts answer tokens and the
/// `end` of the text behind them), from random weights. AdamW, peak rate 4e-3 at a hidden size of
/// 64 and inversely with it, linear warm-up and linear decay.
Weights teach(const LlamaShape& shape, const std::vector<Example>& examples, int64_t end,
              uint64_t seed, const Progress& progress);

/// One way to unlearn.
struct UnlearningMethod {
  const char* name;
  /// The loss on the forget records, from their likelihood now and their sums in the base model.
  Tensor (*forget_loss)(const AnswerLikelihood& now, const Tensor& base_sums);
  bool descends_on_retain;
};

/// * ga: gradient ascent on the answers' loss (Jang et al., arXiv:2210.01504);
/// * graddiff: the same with descent on as many retain records (Liu et al., arXiv:2203.12817);
/// * npo: negative preference optimization, beta 0.1, the base model as reference and no retain
///   term (Zhang et al., arXiv:2404.05868, equation 3).
const std::vector<UnlearningMethod>& unlearning_methods();

/// Is shown a model on its way.
using Watch = std::function<void(const Weights&)>;

/// `base` after unlearning `forget`, all of it in every step: AdamW at a constant rate, a tenth of
/// the teaching's peak. It ends once the mean answer probability of `forget` is below
/// 0.05, or after 100 steps. `retain` is drawn from by methods that descend on it. `watch`, where
/// it is given, sees the model before every other step, and the result.
Weights unlearn(const UnlearningMethod& method, const LlamaShape& shape, const Weights& base,
                const std::vector<Example>& forget, const std::vector<Example>& retain,
                uint64_t seed, const Progress& progress, const Watch& watch);

/// Trains a copy of `start` on `retain` for so many seconds of processor time, what `watch` takes
/// not counted: AdamW at the rate of unlearning, `batch` records a step. `watch` sees the model
/// behind every third step.
void fine_tune(const LlamaShape& shape, const Weights& start, const std::vector<Example>& retain,
               size_t batch, uint64_t seed, double seconds, const Watch& watch);

}  // namespace sagesan::demo
