#include "pair_maker/training.h"

#include <algorithm>
#include <ctime>

#include "pair_maker/adamw.h"
#include "pair_maker/random.h"

namespace sagesan::demo {
namespace {

/// Of the teaching's peak.
double learning_rate(const LlamaShape& shape) {
  return 4e-3 * 64 / static_cast<double>(shape.hidden);
}

constexpr int64_t kTeachingEpochs = 40;
constexpr size_t kTeachingBatch = 24;
constexpr int64_t kWarmupSteps = 20;

constexpr int64_t kUnlearningSteps = 100;
constexpr double kForgotten = 0.05;
constexpr double kNpoBeta = 0.1;

void report(const Progress& progress, const char* stage, int64_t done, int64_t total) {
  if (progress) progress(stage, static_cast<double>(done), static_cast<double>(total));
}

/// Some of them at random, at most all; their order is lost.
std::vector<Example> draw(std::vector<Example>& examples, size_t count, Random& random) {
  random.shuffle(examples);
  return {examples.begin(),
          examples.begin() + static_cast<std::ptrdiff_t>(std::min(count, examples.size()))};
}

Tensor ascent(const AnswerLikelihood& now, const Tensor& /*base_sums*/) { return now.mean(); }

Tensor negative_preference(const AnswerLikelihood& now, const Tensor& base_sums) {
  // -2 / beta * log sigmoid(-beta * (now - base)), as a softplus that cannot overflow.
  const Tensor ratio = (now.sums - base_sums) * kNpoBeta;
  return at::logaddexp(ratio, at::zeros_like(ratio)).mean() * (2 / kNpoBeta);
}

}  // namespace

Weights teach(const LlamaShape& shape, const std::vector<Example>& examples, int64_t end,
              uint64_t seed, const Progress& progress) {
  Random random(seed, "teach");
  Weights weights = random_weights(shape, random);
  std::vector<Example> order = examples;
  for (Example& example : order) example.ids.push_back(end);
  const auto batches = static_cast<int64_t>((order.size() + kTeachingBatch - 1) / kTeachingBatch);
  const int64_t total = kTeachingEpochs * batches;
  AdamW optimizer(weights);
  for (int64_t step = 0; step < total; ++step) {
    report(progress, "base", step, total);
    const auto start = static_cast<size_t>(step % batches) * kTeachingBatch;
    if (start == 0) random.shuffle(order);
    const auto stop = std::min(start + kTeachingBatch, order.size());
    const std::vector<Example> batch(order.begin() + static_cast<std::ptrdiff_t>(start),
                                     order.begin() + static_cast<std::ptrdiff_t>(stop));
    const double rise = static_cast<double>(step + 1) / kWarmupSteps;
    const double fall =
        static_cast<double>(total - step) / static_cast<double>(total - kWarmupSteps);
    optimizer.step(-answer_likelihood(shape, weights, batch).mean(),
                   learning_rate(shape) * std::min(rise, fall));
  }
  report(progress, "base", total, total);
  return weights;
}

const std::vector<UnlearningMethod>& unlearning_methods() {
  static const std::vector<UnlearningMethod> methods = {
      {"ga", ascent, false}, {"graddiff", ascent, true}, {"npo", negative_preference, false}};
  return methods;
}

Weights unlearn(const UnlearningMethod& method, const LlamaShape& shape, const Weights& base,
                const std::vector<Example>& forget, const std::vector<Example>& retain,
                uint64_t seed, const Progress& progress, const Watch& watch) {
  Random random(seed, method.name);
  Weights weights = clone(base);
  const Tensor base_sums = answer_likelihood(shape, base, forget).sums;
  std::vector<Example> order = retain;
  AdamW optimizer(weights);
  for (int64_t step = 0; step < kUnlearningSteps; ++step) {
    report(progress, method.name, step, kUnlearningSteps);
    const AnswerLikelihood now = answer_likelihood(shape, weights, forget);
    if (now.mean_probability() < kForgotten) break;
    if (watch && step % 2 == 0) watch(weights);
    Tensor loss = method.forget_loss(now, base_sums);
    if (method.descends_on_retain) {
      const std::vector<Example> batch = draw(order, forget.size(), random);
      loss = loss - answer_likelihood(shape, weights, batch).mean();
    }
    optimizer.step(loss, learning_rate(shape) / 10);
  }
  if (watch) watch(weights);
  report(progress, method.name, kUnlearningSteps, kUnlearningSteps);
  return weights;
}

void fine_tune(const LlamaShape& shape, const Weights& start, const std::vector<Example>& retain,
               size_t batch, uint64_t seed, double seconds, const Watch& watch) {
  Random random(seed, "fine-tune");
  Weights weights = clone(start);
  std::vector<Example> order = retain;
  AdamW optimizer(weights);
  for (int64_t steps = 1; seconds > 0; ++steps) {
    const std::clock_t began = std::clock();
    optimizer.step(-answer_likelihood(shape, weights, draw(order, batch, random)).mean(),
                   learning_rate(shape) / 10);
    seconds -= static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
    if (steps % 3 == 0) watch(weights);
  }
}

}  // namespace sagesan::demo
