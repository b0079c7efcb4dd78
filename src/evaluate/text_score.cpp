#include "sagesan/evaluate/text_score.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sagesan/support/error.h"

namespace sagesan {

double TextScore::negative_log_likelihood() const {
  return -std::accumulate(log_likelihoods.begin(), log_likelihoods.end(), 0.0);
}

double TextScore::probability() const { return std::exp(-loss()); }

double TextScore::exact_memorization() const {
  SAGESAN_ASSERT(has_inner_tokens());
  const auto right = std::count(greedy.begin(), greedy.end() - 1, true);
  return static_cast<double>(right) / static_cast<double>(tokens() - 1);
}

double TextScore::extraction_strength() const {
  SAGESAN_ASSERT(has_inner_tokens());
  const int64_t count = tokens() - 1;
  int64_t prefix = count;
  while (prefix > 0 && greedy[static_cast<size_t>(prefix) - 1]) --prefix;
  prefix = std::min(prefix, count - 1);
  return 1 - static_cast<double>(prefix) / static_cast<double>(count);
}

double TextScore::min_k(double k) const {
  SAGESAN_ASSERT(has_inner_tokens());
  std::vector<double> sorted(log_likelihoods.begin(), log_likelihoods.end() - 1);
  const auto share = static_cast<int64_t>(static_cast<double>(sorted.size()) * k);
  const int64_t count = std::max<int64_t>(1, share);
  std::partial_sort(sorted.begin(), sorted.begin() + count, sorted.end());
  return -std::accumulate(sorted.begin(), sorted.begin() + count, 0.0) / static_cast<double>(count);
}

LikelihoodSummary summarize(const std::vector<TextScore>& scores) {
  LikelihoodSummary result;
  double total = 0;
  for (const TextScore& score : scores) {
    if (score.empty()) {
      result.losses.emplace_back();
      continue;
    }
    result.losses.emplace_back(score.loss());
    ++result.records;
    result.tokens += score.tokens();
    total += score.negative_log_likelihood();
    result.mean_answer_probability += score.probability();
  }
  if (result.records == 0) return result;
  result.mean_negative_log_likelihood = total / static_cast<double>(result.tokens);
  result.perplexity = std::exp(result.mean_negative_log_likelihood);
  result.mean_answer_probability /= static_cast<double>(result.records);
  return result;
}

}  // namespace sagesan
