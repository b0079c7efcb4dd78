#include "sagesan/spectral/moment_root.h"

#include <gtest/gtest.h>

#include "helpers/eigen.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

using testing::Matrix;
using testing::Vector;

/// Of one panel and of several; with fewer tokens than channels the root is made of rows.
class MomentRootOf : public ::testing::TestWithParam<std::pair<int64_t, int64_t>> {};
INSTANTIATE_TEST_SUITE_P(TokensAndChannels, MomentRootOf,
                         ::testing::Values(std::pair{90, 40}, std::pair{900, 192},
                                           std::pair{900, 500}, std::pair{60, 500}));

TEST_P(MomentRootOf, IsOneOfTheMomentAndMultipliesAsAMatrix) {
  const auto [tokens, channels] = GetParam();
  const Matrix inputs = testing::random_inputs(tokens, channels, 3);
  SecondMoment moment(channels, tokens, at::kCPU);
  moment.add(testing::to_tensor(inputs));
  const MomentRoot root = root_of_moment(moment, "site");
  EXPECT_EQ(root.is_lower_triangular, tokens >= channels);
  EXPECT_EQ(root.values.scalar_type(), at::kFloat);
  const Matrix values = testing::to_eigen(root.values);
  const Matrix s = inputs.transpose() * inputs / static_cast<double>(tokens);
  EXPECT_LT(testing::relative_error(values * values.transpose(), s), 1e-6);

  const Matrix m = testing::random_matrix(7, channels, 8);
  const Tensor image = root.image(testing::to_tensor(m));
  EXPECT_LT(testing::relative_error(testing::to_eigen(image), m * values), 1e-6);
  EXPECT_NEAR(root.response(testing::to_tensor(m)) / (m * s * m.transpose()).trace(), 1, 1e-6);
  EXPECT_EQ(root.response(at::zeros({2, channels})), 0);
}

TEST(MomentRoot, IsThereWhereChannelsDependOnOneAnother) {
  // Rounding makes some of the eigenvalues that are zero negative.
  const Matrix few = testing::random_inputs(20, 60, 3);
  SecondMoment moment(60, 400, at::kCPU);
  for (int i = 0; i < 20; ++i) moment.add(testing::to_tensor(few));
  const MomentRoot root = root_of_moment(moment, "site");
  const Matrix values = testing::to_eigen(root.values);
  const Matrix s = few.transpose() * few / 20;
  EXPECT_LT(testing::relative_error(values * values.transpose(), s), 1e-5);
}

TEST(MomentRoot, WhatIsNoMomentIsRefused) {
  MomentSums sums;
  sums.sum = testing::to_tensor(Vector{{1, 1, -0.5}}.asDiagonal(), at::kDouble);
  sums.mean_sum = at::zeros({3}, at::kDouble);
  sums.weight = 1;
  sums.count = 4;
  EXPECT_THROW(root_of_moment(SecondMoment(sums), "site"), Error);
}

}  // namespace
}  // namespace sagesan
