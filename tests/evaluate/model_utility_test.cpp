#include "sagesan/evaluate/model_utility.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sagesan {
namespace {

TextScore of_probability(double probability) {
  return {.log_likelihoods = {std::log(probability)}, .greedy = {true}};
}

/// One record with two wrong answers.
std::vector<RecordScore> records(double right, double first, double second, double recall) {
  RecordScore record{.answer = of_probability(right),
                     .perturbed = {of_probability(first), of_probability(second)}};
  record.generated = GeneratedAnswer{.rouge_l_recall = recall};
  return {record};
}

TEST(OptionProbability, IsAmongAllAnswers) {
  std::vector<RecordScore> all = records(0.5, 0.25, 0.25, 0);
  all.push_back({.answer = of_probability(0.5)});  // no options
  all.push_back(records(0.2, 0.5, 0.1, 0).front());
  const auto figure = option_probability(all);
  EXPECT_EQ(figure->values.size(), 2u);
  EXPECT_NEAR(figure->values.at(0), 0.5, 1e-9);
  EXPECT_NEAR(figure->values.at(2), 0.25, 1e-9);
  EXPECT_NEAR(figure->aggregate, 0.375, 1e-9);
  EXPECT_FALSE(option_probability({all[1]}));
}

TEST(ModelUtility, IsTheHarmonicMeanOfNine) {
  const auto retain = records(0.5, 0.25, 0.25, 0.8);  // truth ratio 1 - 0.5
  const auto authors = records(0.4, 0.1, 0.1, 0.6);   // options 2 / 3, truth ratio 3 / 4
  const auto facts = records(0.8, 0.2, 0.2, 0.4);     // the same
  const double sum = 1 / 0.5 + 1 / 0.8 + 1 / 0.5      //
                     + 1.5 + 1 / 0.6 + 4.0 / 3        //
                     + 1.5 + 1 / 0.4 + 4.0 / 3;
  EXPECT_NEAR(*model_utility(retain, authors, facts), 9 / sum, 1e-8);
  EXPECT_EQ(model_utility(records(0.5, 0.25, 0.25, 0), authors, facts), 0);
}

TEST(ModelUtility, NeedsAllNine) {
  const auto whole = records(0.5, 0.25, 0.25, 0.8);
  auto silent = whole;
  silent[0].generated.reset();
  auto without_options = whole;
  without_options[0].perturbed.clear();
  EXPECT_TRUE(model_utility(whole, whole, whole));
  for (const auto& lacking : {silent, without_options}) {
    EXPECT_FALSE(model_utility(lacking, whole, whole));
    EXPECT_FALSE(model_utility(whole, lacking, whole));
    EXPECT_FALSE(model_utility(whole, whole, lacking));
  }
}

}  // namespace
}  // namespace sagesan
