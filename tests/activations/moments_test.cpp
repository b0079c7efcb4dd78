#include "sagesan/activations/moments.h"

#include <gtest/gtest.h>

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
  // 700 channels: two panels, the second one narrower.
  const Matrix inputs = testing::random_inputs(900, 700, 1);
  const SecondMoment moment = collect(inputs, 256);
  ASSERT_FALSE(moment.has_rows());
  const Matrix expected = inputs.transpose() * inputs;
  EXPECT_LT(testing::relative_error(testing::to_eigen(moment.sum()), expected), 1e-7);
  EXPECT_EQ(testing::to_eigen(moment.sum()), Matrix(testing::to_eigen(moment.sum()).transpose()));
  EXPECT_NEAR(moment.trace() / expected.trace(), 1, 1e-6);
  EXPECT_EQ(moment.count(), 900);
  EXPECT_LT(
      (testing::to_eigen(moment.mean_sum()) - Matrix(inputs.colwise().sum().transpose())).norm(),
      1e-4);
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

TEST(NormMoment, RelativeEnergiesHaveMeanOne) {
  const Matrix inputs = testing::random_inputs(50, 8, 3);
  NormMoment moment(8, at::kCPU);
  moment.add(testing::to_tensor(inputs.topRows(20)));
  moment.add(testing::to_tensor(inputs.bottomRows(30)));
  const Matrix energies = testing::to_eigen(moment.relative_energies());
  const Matrix squares = inputs.array().square().matrix().colwise().sum().transpose();
  EXPECT_LT(testing::relative_error(energies, squares / squares.mean()), 1e-6);
  EXPECT_NEAR(energies.mean(), 1, 1e-12);
}

TEST(TokenCounts, CountsEveryToken) {
  const Tensor counts = token_counts({3, 0, 3, 3}, 5);
  EXPECT_EQ(testing::to_eigen(counts), (Matrix(5, 1) << 1, 0, 0, 3, 0).finished());
}

}  // namespace
}  // namespace sagesan
