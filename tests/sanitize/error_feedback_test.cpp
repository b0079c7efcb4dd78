#include "sagesan/sanitize/error_feedback.h"

#include <gtest/gtest.h>

#include "helpers/eigen.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

using testing::Matrix;

constexpr int64_t kBlockedChannels = 200;  // more than one block of columns

struct RoundingProblem {
  Matrix moment;
  SecondMoment collected;
};

RoundingProblem make_problem(int64_t tokens) {
  const Matrix inputs = testing::random_inputs(tokens, kBlockedChannels, 3);
  SecondMoment collected(kBlockedChannels, tokens, at::kCPU);
  collected.add(testing::to_tensor(inputs));
  return {inputs.transpose() * inputs / static_cast<double>(tokens), std::move(collected)};
}

double harm(const Matrix& error, const Matrix& moment) {
  return (error * moment * error.transpose()).trace();
}

/// GPTQ's step written plainly: a column is rounded, and the optimal correction of the columns
/// behind it is that of the remaining problem's own inverse (OBQ, arXiv:2208.11580, equation 3).
Matrix plain_feedback(Matrix w, const Matrix& moment, DType dtype) {
  const Matrix damped = moment * (kBlockedChannels / moment.trace()) +
                        0.01 * Matrix::Identity(kBlockedChannels, kBlockedChannels);
  Matrix inverse = testing::divide(Matrix::Identity(kBlockedChannels, kBlockedChannels), damped);
  for (int64_t j = 0; j < kBlockedChannels; ++j) {
    const Matrix column = w.col(j);
    const Matrix rounded = testing::to_eigen(round_to(testing::to_tensor(column), dtype));
    const Matrix error = (column - rounded) / inverse(j, j);
    w -= error * inverse.row(j);
    w.col(j) = rounded;
    const Matrix row = inverse.row(j);
    inverse -= row.transpose() * row / inverse(j, j);
  }
  return w;
}

class ErrorFeedback : public ::testing::TestWithParam<int64_t> {};

TEST_P(ErrorFeedback, DoesLessHarmThanRoundingToTheNearest) {
  const RoundingProblem problem = make_problem(GetParam());
  const Matrix w = testing::random_matrix(30, kBlockedChannels, 5);
  const Tensor exact = testing::to_tensor(w);
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const Tensor fed =
        round_with_feedback(exact, feedback_factor(problem.collected, "site"), dtype);
    EXPECT_TRUE(fed.equal(round_to(fed.to(at::kFloat), dtype)));
    const Matrix nearest = testing::to_eigen(round_to(exact, dtype));
    EXPECT_LT(harm(testing::to_eigen(fed) - w, problem.moment),
              0.5 * harm(nearest - w, problem.moment));
  }
}

TEST_P(ErrorFeedback, IsTheOptimalCorrectionColumnByColumn) {
  const RoundingProblem problem = make_problem(GetParam());
  const Matrix w = testing::random_matrix(20, kBlockedChannels, 6);
  const Matrix fed = testing::to_eigen(round_with_feedback(
      testing::to_tensor(w), feedback_factor(problem.collected, "site"), DType::kBF16));
  const Matrix plain = plain_feedback(w, problem.moment, DType::kBF16);
  // A difference of one in float32 may turn a tie; nearly all must be the same.
  EXPECT_GT(((fed - plain).array().abs() < 1e-12).cast<double>().mean(), 0.97);
  EXPECT_NEAR(harm(fed - w, problem.moment) / harm(plain - w, problem.moment), 1, 0.05);
}

INSTANTIATE_TEST_SUITE_P(FewAndManyTokens, ErrorFeedback, ::testing::Values(60, 1000));

TEST(ErrorFeedback, LeavesWhatTheTypeHolds) {
  const RoundingProblem problem = make_problem(300);
  const Tensor w =
      round_to(testing::to_tensor(testing::random_matrix(5, kBlockedChannels, 7)), DType::kBF16);
  EXPECT_TRUE(round_with_feedback(w.to(at::kFloat), feedback_factor(problem.collected, "site"),
                                  DType::kBF16)
                  .equal(w));
}

TEST(ErrorFeedback, RefusesAMomentOfNothing) {
  SecondMoment empty(4, 10, at::kCPU);
  empty.add(at::zeros({3, 4}, at::kFloat));
  EXPECT_THROW(feedback_factor(empty, "layers.0.mlp_input"), Error);
}

}  // namespace
}  // namespace sagesan
