#include "sagesan/evaluate/data_scores.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sagesan {
namespace {

TextScore score(const std::vector<double>& log_likelihoods, const std::vector<bool>& greedy = {}) {
  return {.log_likelihoods = log_likelihoods,
          .greedy = greedy.empty() ? std::vector<bool>(log_likelihoods.size()) : greedy};
}

TEST(TextScore, LossAndProbability) {
  const TextScore text = score({-1, -2, -6});
  EXPECT_EQ(text.negative_log_likelihood(), 9);
  EXPECT_EQ(text.loss(), 3);
  EXPECT_DOUBLE_EQ(text.probability(), std::exp(-3));
}

TEST(TextScore, TheLastTokenDoesNotCountForMemorization) {
  EXPECT_EQ(score({-1, -1, -1, -1, -1}, {true, false, true, true, false}).exact_memorization(),
            0.75);
  EXPECT_EQ(score({-1, -1}, {false, true}).exact_memorization(), 0);
  EXPECT_FALSE(score({-1}).has_inner_tokens());
}

TEST(TextScore, ExtractionStrengthIsOfTheLongestEndThatComesByItself) {
  const auto strength = [](const std::vector<bool>& greedy) {
    return score(std::vector<double>(greedy.size(), -1), greedy).extraction_strength();
  };
  EXPECT_EQ(strength({true, true, true, true, false}), 1);
  EXPECT_EQ(strength({true, false, true, true, false}), 0.5);
  EXPECT_EQ(strength({false, false, false, true, false}), 0.25);
  EXPECT_EQ(strength({true, true, true, false, true}), 0.25);  // as there: 1 / n
}

TEST(TextScore, MinKIsTheMeanOfTheLeastLikely) {
  const TextScore text = score({-1, -5, -3, -2, -4, -100});
  EXPECT_EQ(text.min_k(0.4), 4.5);
  EXPECT_EQ(text.min_k(0.59), 4.5);  // rounded down
  EXPECT_EQ(text.min_k(0), 5);       // one at least
  EXPECT_EQ(text.min_k(1), 3);
}

TEST(Summarize, AllTokensAndAllRecords) {
  const LikelihoodSummary summary = summarize({score({-1, -1}), score({}), score({-4})});
  EXPECT_EQ(summary.records, 2);
  EXPECT_EQ(summary.tokens, 3);
  EXPECT_EQ(summary.mean_negative_log_likelihood, 2);
  EXPECT_DOUBLE_EQ(summary.perplexity, std::exp(2));
  EXPECT_DOUBLE_EQ(summary.mean_answer_probability, (std::exp(-1) + std::exp(-4)) / 2);
}

TEST(TruthRatio, ComparesWrongAnswersWithTheParaphrase) {
  RecordScore record{.answer = score({-9})};
  EXPECT_FALSE(record.truth_ratio());
  record.perturbed = {score({-2}), score({-4, -4})};
  EXPECT_NEAR(*record.truth_ratio(), std::exp(-3) / (std::exp(-9) + 1e-10), 1e-9);
  record.paraphrased = score({-1, -3});
  EXPECT_NEAR(*record.truth_ratio(), std::exp(-3) / std::exp(-2), 1e-8);
  const double ratio = std::exp(-1);
  EXPECT_NEAR(truth_ratio({record}, true)->aggregate, ratio, 1e-8);
  EXPECT_NEAR(truth_ratio({record}, false)->aggregate, 1 - ratio, 1e-8);
  record.perturbed = {score({-1})};  // likelier than the right one
  EXPECT_NEAR(truth_ratio({record}, true)->aggregate, std::exp(-1), 1e-8);
  EXPECT_EQ(truth_ratio({record}, false)->aggregate, 0);
  record.perturbed.push_back(score({}));
  EXPECT_FALSE(truth_ratio({record}, true));
}

TEST(Figures, RecordsWithoutInnerTokens) {
  const std::vector<RecordScore> records = {{.answer = score({-1})},
                                            {.answer = score({-1, -1}, {true, false})}};
  const auto exact = exact_memorization(records);
  EXPECT_EQ(exact->aggregate, 1);
  EXPECT_EQ(exact->values, (std::map<size_t, double>{{1, 1}}));
  EXPECT_EQ(extraction_strength(records)->aggregate, 0.5);
  EXPECT_EQ(min_k(records, 0.5).values, (std::map<size_t, double>{{0, 0}, {1, 1}}));
  EXPECT_FALSE(exact_memorization({records[0]}));
}

}  // namespace
}  // namespace sagesan
