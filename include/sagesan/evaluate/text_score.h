#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace sagesan {

/// What a model thinks of one text, token by token: of those that are scored (an answer's), in
/// their order. The figures follow open-unlearning (src/evals/metrics); those that look at tokens
/// one by one leave out the last scored token, as it does (utils.py `tokenwise_logprobs`: the end
/// of the text).
struct TextScore {
  std::vector<double> log_likelihoods;  ///< nats
  std::vector<bool> greedy;             ///< whether the likeliest token there is the text's

  bool empty() const { return log_likelihoods.empty(); }
  int64_t tokens() const { return static_cast<int64_t>(log_likelihoods.size()); }
  double negative_log_likelihood() const;  ///< sum over the tokens
  /// Per token ("avg_loss").
  double loss() const { return negative_log_likelihood() / static_cast<double>(tokens()); }
  double probability() const;  ///< exp(-loss): the geometric mean ("prob")

  /// The share of tokens that greedy decoding gives (memorization.py `exact_memorization`).
  double exact_memorization() const;
  /// 1 - k / n for the shortest prefix k < n behind which all tokens come greedily, 1 / n where
  /// not even the last does (memorization.py `extraction_strength`).
  double extraction_strength() const;
  /// -mean of the share `k` of the tokens with the lowest log-likelihood, at least one: Min-K%
  /// (mia/min_k.py, arXiv:2310.16789). The higher, the less likely the text was seen.
  double min_k(double k) const;
  /// Whether there is a token for the three figures above.
  bool has_inner_tokens() const { return tokens() > 1; }
};

/// The figures of all texts of a data set. Texts without a scored token do not count.
struct LikelihoodSummary {
  int64_t records = 0;
  int64_t tokens = 0;
  double mean_negative_log_likelihood = 0;  ///< nats per token, over all tokens
  double perplexity = 0;                    ///< exp of it
  double mean_answer_probability = 0;       ///< mean over the records
  /// Of each text, those that do not count too: its loss per token; absent where nothing is scored.
  std::vector<std::optional<double>> losses;
};
LikelihoodSummary summarize(const std::vector<TextScore>& scores);

}  // namespace sagesan
