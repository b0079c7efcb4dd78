#include "sagesan/evaluate/statistics.h"

#include <gtest/gtest.h>

#include "sagesan/evaluate/rouge.h"

namespace sagesan {
namespace {

// By hand: of the 20 orders of three and three values, two are as far apart as the whole.
TEST(KolmogorovSmirnov, IsExact) {
  EXPECT_DOUBLE_EQ(kolmogorov_smirnov_p_value({1, 2, 3}, {4, 5, 6}), 0.1);
  EXPECT_EQ(kolmogorov_smirnov_p_value({1, 2}, {2, 1}), 1);
  EXPECT_DOUBLE_EQ(kolmogorov_smirnov_p_value({1}, {2}), 1);
  // 2 / C(40, 20): no digit is lost in what is this small.
  std::vector<double> low(20, 0);
  std::vector<double> high(20, 1);
  EXPECT_NEAR(kolmogorov_smirnov_p_value(low, high) * 137846528820.0, 2, 1e-12);
}

TEST(RocAuc, TiesCountHalf) {
  EXPECT_EQ(roc_auc({2, 3}, {0, 1}), 1);
  EXPECT_EQ(roc_auc({0}, {1}), 0);
  EXPECT_EQ(roc_auc({1, 2}, {1, 2}), 0.5);
  EXPECT_EQ(roc_auc({1}, {0, 1, 2, 3}), 0.375);
}

TEST(HarmonicMean, IsZeroWhereOneIs) {
  EXPECT_DOUBLE_EQ(harmonic_mean({1, 0.5, 0.25}), 3.0 / 7);
  EXPECT_EQ(harmonic_mean({1, 0}), 0);
}

TEST(Rouge, TheLongestCommonSubsequenceOfStems) {
  const RougeScore score = rouge_l("The cats were running home", "a cat runs: the HOME");
  EXPECT_DOUBLE_EQ(score.recall, 3.0 / 5);  // cat, run, home
  EXPECT_DOUBLE_EQ(score.precision, 3.0 / 5);
  EXPECT_DOUBLE_EQ(rouge_1("The cats were running home", "a cat runs: the HOME").recall, 4.0 / 5);
  EXPECT_EQ(rouge_l("", "a").f1, 0);
  EXPECT_EQ(rouge_l("a b", "c").f1, 0);
}

}  // namespace
}  // namespace sagesan
