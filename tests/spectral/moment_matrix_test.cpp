#include "sagesan/spectral/moment_matrix.h"

#include <gtest/gtest.h>

#include "helpers/eigen.h"
#include "helpers/files.h"

namespace sagesan {
namespace {

using testing::Matrix;

/// More tokens than channels, and fewer.
class MomentMatrixOf : public ::testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Tokens, MomentMatrixOf, ::testing::Values(300, 15));

TEST_P(MomentMatrixOf, MultipliesAsTheMomentDoes) {
  const Matrix inputs = testing::random_inputs(GetParam(), 40, 3);
  SecondMoment collected(40, GetParam(), at::kCPU);
  // In two parts, one of them weighted.
  const Matrix first = inputs.topRows(5);
  const Matrix rest = inputs.bottomRows(GetParam() - 5);
  collected.add(testing::to_tensor(first), at::full({5}, 0.25, at::kDouble));
  collected.add(testing::to_tensor(rest));
  ASSERT_EQ(collected.has_rows(), GetParam() < 40);
  const double weight = 5 * 0.25 + static_cast<double>(GetParam() - 5);
  const Matrix s = (0.25 * first.transpose() * first + rest.transpose() * rest) / weight;

  const MomentMatrix moment(collected, "site");
  const Matrix m = testing::random_matrix(9, 40, 8);
  const Tensor times = moment.times(testing::to_tensor(m));
  EXPECT_EQ(times.scalar_type(), at::kDouble);
  EXPECT_LT(testing::relative_error(testing::to_eigen(times), m * s), 1e-6);
  EXPECT_NEAR(moment.response(testing::to_tensor(m)) / (m * s * m.transpose()).trace(), 1, 1e-6);
  EXPECT_NEAR(moment.mean_energy() / (s.trace() / 40), 1, 1e-6);
  EXPECT_EQ(moment.response(at::zeros({2, 40})), 0);
}

TEST_P(MomentMatrixOf, NamesASiteWithoutActivations) {
  SecondMoment collected(40, GetParam(), at::kCPU);
  collected.add(at::zeros({GetParam(), 40}));
  testing::expect_error<Error>([&] { const MomentMatrix moment(collected, "layers.3.mlp_input"); },
                               "layers.3.mlp_input", "no activation at all");
}

}  // namespace
}  // namespace sagesan
