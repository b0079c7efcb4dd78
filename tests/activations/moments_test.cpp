#include "sagesan/activations/moments.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "helpers/eigen.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

using testing::Matrix;

SecondMoment collect(const Matrix& inputs, int64_t block) {
  SecondMoment moment(inputs.cols(), inputs.rows(), at::kCPU);
  for (int64_t start = 0; start < inputs.rows(); start += block) {
    const int64_t count = std::min<int64_t>(block, inputs.rows() - start);
    moment.add(testing::to_tensor(inputs.middleRows(start, count)));
  }
  return moment;
}

TEST(SecondMoment, SumAgreesWithFloat64OverPanels) {
  // 700 channels: four panels, the last one narrower.
  const Matrix inputs = testing::random_inputs(900, 700, 1);
  const SecondMoment moment = collect(inputs, 256);
  ASSERT_FALSE(moment.has_rows());
  const Matrix expected = inputs.transpose() * inputs;
  EXPECT_LT(testing::relative_error(testing::to_eigen(moment.sum()), expected), 2e-7);
  EXPECT_EQ(testing::to_eigen(moment.sum()), Matrix(testing::to_eigen(moment.sum()).transpose()));
  EXPECT_NEAR(moment.trace() / expected.trace(), 1, 1e-6);
  EXPECT_EQ(moment.count(), 900);
  EXPECT_LT(
      (testing::to_eigen(moment.mean_sum()) - Matrix(inputs.colwise().sum().transpose())).norm(),
      1e-4);
}

TEST(SecondMoment, RoundsInProportionToTheChannels) {
  // What one channel's products are rounded by must not reach those that are smaller.
  Matrix inputs = testing::random_inputs(3000, 200, 6);
  inputs.col(7) *= 1e4;
  inputs = testing::to_eigen(testing::to_tensor(inputs));
  const Matrix expected = inputs.transpose() * inputs;
  const Matrix scale = expected.diagonal().cwiseSqrt().cwiseInverse().asDiagonal();
  const Matrix found = testing::to_eigen(collect(inputs, 3000).sum());
  const testing::Vector errors =
      testing::spectrum(scale * (found - expected) * scale).values.cwiseAbs();
  EXPECT_LT(errors.maxCoeff(), kMomentRounding);
  EXPECT_GT(errors.maxCoeff(), 0);
}

TEST(SecondMoment, KeepsRowsWhileTokensAreFewer) {
  const Matrix inputs = testing::random_inputs(31, 32, 2);
  const SecondMoment moment = collect(inputs, 7);
  ASSERT_TRUE(moment.has_rows());
  EXPECT_LT(testing::relative_error(testing::to_eigen(moment.rows()), inputs), 1e-7);
}

TEST(SecondMoment, LargestTokensShare) {
  Matrix inputs = Matrix::Ones(4, 2);
  inputs.row(2) *= 3;  // 18 of 2 + 2 + 18 + 2
  EXPECT_DOUBLE_EQ(collect(inputs, 1).largest_token_share(), 18.0 / 24);
}

TEST(SecondMoment, RefusesNonFiniteInputs) {
  Matrix inputs = Matrix::Ones(4, 2);
  inputs(1, 1) = std::numeric_limits<double>::infinity();
  EXPECT_THROW(collect(inputs, 4), Error);
  inputs(1, 1) = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(collect(inputs, 4), Error);
}

TEST(DiagonalMoment, SumsSquaresAndMerges) {
  const Matrix inputs = testing::random_inputs(50, 8, 3);
  DiagonalMoment moment(8, at::kCPU);
  moment.add(testing::to_tensor(inputs.topRows(20)));
  DiagonalMoment rest(8, at::kCPU);
  rest.add(testing::to_tensor(inputs.bottomRows(30)));
  moment.merge(rest);
  const Matrix squares = inputs.array().square().matrix().colwise().sum().transpose();
  EXPECT_LT(testing::relative_error(testing::to_eigen(moment.sum()), squares), 1e-6);
  EXPECT_EQ(moment.count(), 50);
}

TEST(TokenCounts, CountsEveryToken) {
  const DiagonalMoment counts = row_counts({3, 0, 3, 3}, 5);
  EXPECT_EQ(testing::to_eigen(counts.sum()), (Matrix(5, 1) << 1, 0, 0, 3, 0).finished());
  EXPECT_EQ(counts.count(), 4);
}

TEST(SecondMoment, TwoHalvesMergeToTheWhole) {
  // Rows stay rows, become a sum where they are too many, and add to sums.
  for (const auto& [tokens, cut, channels] :
       std::vector<std::array<int64_t, 3>>{{20, 7, 32}, {40, 21, 32}, {60, 14, 32}, {90, 42, 32}}) {
    const Matrix inputs = testing::random_inputs(tokens, channels, 4);
    SecondMoment merged = collect(inputs.topRows(cut), 7);
    const SecondMoment rest = collect(inputs.bottomRows(tokens - cut), 7);
    const SecondMoment whole = collect(inputs, 7);
    // Of the same blocks. Halves that are rows are multiplied in float64, a sum's in float32.
    const bool alike = merged.has_rows() == whole.has_rows() && rest.has_rows() == whole.has_rows();
    merged.merge(rest);
    EXPECT_EQ(merged.has_rows(), whole.has_rows()) << tokens;
    EXPECT_LT(
        testing::relative_error(testing::to_eigen(merged.sum()), testing::to_eigen(whole.sum())),
        alike ? 1e-14 : 1e-6)
        << tokens;
    EXPECT_LT(testing::relative_error(testing::to_eigen(merged.mean_sum()),
                                      testing::to_eigen(whole.mean_sum())),
              alike ? 1e-13 : 1e-6)
        << tokens;
    EXPECT_EQ(merged.count(), whole.count());
    EXPECT_EQ(merged.weight(), whole.weight());
    EXPECT_EQ(merged.largest_token(), whole.largest_token());
  }
}

TEST(SecondMoment, WeightsCountTokensInPart) {
  Matrix weights(50, 1);
  for (int64_t t = 0; t < 50; ++t) weights(t, 0) = 1.0 / static_cast<double>(t + 1);
  for (const int64_t channels : {8, 64}) {  // as a sum and as rows
    const Matrix x = testing::random_inputs(50, channels, 5);
    SecondMoment moment(channels, 50, at::kCPU);
    moment.add(testing::to_tensor(x), testing::to_tensor(weights, at::kDouble).reshape({-1}));
    const Matrix expected = x.transpose() * weights.col(0).asDiagonal() * x;
    EXPECT_LT(testing::relative_error(testing::to_eigen(moment.sum()), expected), 1e-6);
    EXPECT_NEAR(moment.trace() / expected.trace(), 1, 1e-6);
    EXPECT_NEAR(moment.weight(), weights.sum(), 1e-12);
    EXPECT_LT(
        testing::relative_error(testing::to_eigen(moment.mean_sum()), x.transpose() * weights),
        1e-6);
  }
}

TEST(TokenWeights, CapsSinkTokensByTheirOwnTextsMedian) {
  // Squared norms 1, 4, 9, 400 and, in the second text, 100, 100, 100.
  Matrix inputs = Matrix::Zero(7, 2);
  const double norms[] = {1, 2, 3, 20, 10, 10, 10};
  for (int64_t t = 0; t < 7; ++t) inputs(t, t % 2) = norms[t];
  const Matrix weights = testing::to_eigen(token_weights(testing::to_tensor(inputs), {4, 3}, 2));
  // The lower median of the first text is 4, so 2 * 4 is the most a token may have.
  const Matrix expected = (Matrix(7, 1) << 1, 1, 8.0 / 9, 8.0 / 400, 1, 1, 1).finished();
  EXPECT_LT((weights - expected).norm(), 1e-12);
  // A text that is mostly zero has no scale: nothing is capped.
  Matrix sparse = Matrix::Zero(3, 2);
  sparse(2, 0) = 5;
  EXPECT_EQ(testing::to_eigen(token_weights(testing::to_tensor(sparse), {3}, 1)),
            Matrix::Ones(3, 1));
}

}  // namespace
}  // namespace sagesan
