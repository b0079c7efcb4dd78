#include "sagesan/spectral/subspace.h"

#include <gtest/gtest.h>

#include "helpers/eigen.h"
#include "sagesan/sanitize/solver.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

using testing::Matrix;
using testing::Vector;

SecondMoment collect(const Matrix& inputs) {
  SecondMoment moment(inputs.cols(), inputs.rows(), at::kCPU);
  moment.add(testing::to_tensor(inputs));
  return moment;
}

/// Eigenvalues of (1/T) X^T X, descending, in float64.
Vector eigenvalues(const Matrix& inputs) {
  const Matrix moment = inputs.transpose() * inputs / static_cast<double>(inputs.rows());
  return testing::spectrum(moment).values.reverse();
}

/// The smallest rank that holds `energy`.
int64_t expected_rank(const Vector& values, double energy) {
  double sum = 0;
  for (int64_t k = 0; k < values.size(); ++k) {
    sum += values[k];
    if (sum >= energy * values.sum()) return k + 1;
  }
  return values.size();
}

class SubspaceOf : public ::testing::TestWithParam<int64_t> {};

TEST_P(SubspaceOf, AgreesWithEigen) {
  const Matrix inputs = testing::random_inputs(GetParam(), 48, 7);
  const Vector values = eigenvalues(inputs);
  for (const double energy : {0.3, 0.9, 0.99}) {
    const Subspace subspace = dominant_subspace(collect(inputs), energy, "site");
    EXPECT_EQ(subspace.rank, expected_rank(values, energy)) << energy;
    EXPECT_NEAR(subspace.energy_share, values.head(subspace.rank).sum() / values.sum(), 1e-6);
    EXPECT_NEAR(subspace.eigenvalue_shares.at(1), values[0] / values.sum(), 1e-6);
    const auto& shares = subspace.eigenvalue_shares;
    EXPECT_EQ(shares.begin()->first, 1);
    EXPECT_EQ(shares.rbegin()->first, std::min<int64_t>(GetParam(), 48));
    for (const auto& [i, share] : shares)
      EXPECT_NEAR(share, values[i - 1] / values.sum(), 1e-6) << i;
    const Matrix h = testing::to_eigen(subspace.relative_energies);
    EXPECT_LT(testing::relative_error(h, values.head(subspace.rank) * 48 / values.sum()), 1e-5);
    const Matrix u = testing::to_eigen(subspace.directions);
    EXPECT_LT((u.transpose() * u - Matrix::Identity(subspace.rank, subspace.rank)).norm(), 1e-5);
    // Each column is an eigenvector: S u = l u.
    const Matrix moment = inputs.transpose() * inputs / static_cast<double>(inputs.rows());
    EXPECT_LT((moment * u - u * values.head(subspace.rank).asDiagonal()).norm() / values[0], 1e-5);
    EXPECT_LT(subspace.residual, 1e-12);
  }
}

TEST_P(SubspaceOf, ResponseIsTheQuadraticForm) {
  const Matrix inputs = testing::random_inputs(GetParam(), 48, 8);
  const Matrix m = testing::random_matrix(5, 48, 9);
  const Subspace subspace = dominant_subspace(collect(inputs), 0.5, "site");
  const double expected =
      (m * inputs.transpose()).squaredNorm() / static_cast<double>(inputs.rows());
  EXPECT_NEAR(subspace.root.response(testing::to_tensor(m)) / expected, 1, 1e-6);
}

// More tokens than channels, as many, fewer, and a single one.
INSTANTIATE_TEST_SUITE_P(Tokens, SubspaceOf, ::testing::Values(200, 48, 47, 20));

TEST(Subspace, OneTokenIsOneDirection) {
  const Matrix inputs = testing::random_inputs(1, 16, 10);
  for (const double energy : {0.01, 1.0}) {
    const Subspace subspace = dominant_subspace(collect(inputs), energy, "site");
    EXPECT_EQ(subspace.rank, 1);
    EXPECT_DOUBLE_EQ(subspace.eigenvalue_shares.at(1), 1);
    EXPECT_NEAR(std::abs((testing::to_eigen(subspace.directions).transpose() *
                          inputs.row(0).transpose())(0)),
                inputs.row(0).norm(), 1e-5);
  }
}

TEST(Subspace, DeadChannelsStayOutside) {
  Matrix inputs = testing::random_inputs(64, 8, 11);
  inputs.col(3).setZero();
  const Subspace subspace = dominant_subspace(collect(inputs), 1, "site");
  EXPECT_EQ(subspace.rank, 7);
  EXPECT_LT(testing::to_eigen(subspace.directions).row(3).norm(), 1e-6);
}

TEST(Subspace, RepeatedTokensAddNoDirections) {
  // Sums, as tokens are more than channels; what is zero is not zero after rounding.
  Matrix inputs = testing::random_inputs(20, 60, 12).replicate(20, 1);
  const Subspace subspace = dominant_subspace(collect(inputs), 1, "site");
  EXPECT_EQ(subspace.rank, 20);
  EXPECT_EQ(subspace.eigenvalue_shares.rbegin()->first, 20);
}

TEST(Subspace, ALargeChannelHidesNoDirections) {
  Matrix inputs = testing::random_inputs(400, 60, 13);
  inputs.col(5) *= 1e4;
  EXPECT_EQ(dominant_subspace(collect(inputs), 1, "site").rank, 60);
}

TEST(Subspace, AllZeroIsRefusedByName) {
  try {
    dominant_subspace(collect(Matrix::Zero(10, 4)), 0.9, "layers.3.mlp_input");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("layers.3.mlp_input"), std::string::npos);
    EXPECT_EQ(error.code(), ExitCode::kBadInput);
  }
}

/// A moment with the eigenvalues `values`, and its eigenvectors.
struct Made {
  SecondMoment moment;
  Matrix vectors;
};

Made make_moment(const Vector& values) {
  // A reflection is as good a basis as any, and soon made.
  const Matrix mirror = testing::random_matrix(values.size(), 1, 5).normalized();
  const Matrix vectors =
      Matrix::Identity(values.size(), values.size()) - 2 * mirror * mirror.transpose();
  const Tensor u = testing::to_tensor(vectors, at::kDouble);
  MomentSums sums;
  sums.sum = at::mm(u * testing::to_tensor(values.transpose(), at::kDouble), u.t());
  sums.mean_sum = at::zeros({values.size()}, at::kDouble);
  sums.weight = 1;
  sums.count = values.size() + 1;
  return {SecondMoment(sums), vectors};
}

Vector power_law(int64_t count, double exponent) {
  Vector values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = std::pow(static_cast<double>(i + 1), -exponent);
  return values;
}

/// How far what the subspace takes out of an update is from the same in float64, at strength 1.
double error_of_update(const Subspace& subspace, const Vector& values, const Matrix& vectors) {
  const Matrix d = testing::random_matrix(7, values.size(), 3);
  const Vector h = values.head(subspace.rank) * static_cast<double>(values.size()) / values.sum();
  const Matrix u = vectors.leftCols(subspace.rank);
  const Matrix expected =
      d * u * (h.array() / (1 + h.array())).matrix().asDiagonal() * u.transpose();
  const Matrix found = testing::to_eigen(removed_from_linear(testing::to_tensor(d), subspace, 1));
  return (found - expected).norm() / (d - expected).norm();
}

TEST(Subspace, ManyDirectionsAreFoundInFloat32) {
  const Vector values = power_law(300, 1);
  const auto [moment, vectors] = make_moment(values);
  const Subspace subspace = dominant_subspace(moment, 0.9, "site");
  EXPECT_EQ(subspace.rank, expected_rank(values, 0.9));
  EXPECT_EQ(subspace.eigenvalue_shares.rbegin()->first, 300);
  EXPECT_GT(subspace.residual, 1e-9);
  EXPECT_LT(subspace.residual, 1e-5);
  EXPECT_LT(error_of_update(subspace, values, vectors), 1e-3);
}

TEST(Subspace, AFewOfManyAreFoundAlone) {
  const Vector values = power_law(2048, 1.5);
  const auto [moment, vectors] = make_moment(values);
  for (const double energy : {0.3, 0.8, 0.9}) {
    const Subspace subspace = dominant_subspace(moment, energy, "site");
    EXPECT_EQ(subspace.rank, expected_rank(values, energy));
    EXPECT_LT(subspace.eigenvalue_shares.rbegin()->first, 300) << "it decomposed all";
    EXPECT_LT(subspace.residual, 1e-5);
    EXPECT_LT(error_of_update(subspace, values, vectors), 1e-4) << energy;
    const Tensor d = testing::to_tensor(testing::random_matrix(3, 2048, 10));
    const auto [removed, image] = solve_linear(d, subspace.root.image(d), subspace, 2);
    EXPECT_LT(testing::relative_error(testing::to_eigen(image),
                                      testing::to_eigen(subspace.root.image(d - removed))),
              1e-5);
    for (const auto& [i, share] : subspace.eigenvalue_shares) {
      if (i > subspace.rank) continue;
      EXPECT_NEAR(share / (values[i - 1] / values.sum()), 1, 1e-6) << i;
    }
    const Matrix m = testing::random_matrix(5, 2048, 9);
    const double response = (m * vectors * values.cwiseSqrt().asDiagonal()).squaredNorm();
    EXPECT_NEAR(subspace.root.response(testing::to_tensor(m)) / response, 1, 1e-5);
    const Matrix in_root = testing::to_eigen(subspace.directions).transpose() *
                           testing::to_eigen(subspace.root.values);
    EXPECT_LT(testing::relative_error(testing::to_eigen(subspace.directions_in_root), in_root),
              1e-5);
  }
}

TEST(Subspace, BesideASinkFloat64IsTaken) {
  Vector values = power_law(300, 0.5) * 1e-8;
  values[0] = 1;
  const auto [moment, vectors] = make_moment(values);
  // What is wanted beside the one direction is too small for float32.
  const double energy = (1 + values.segment(1, 100).sum()) / values.sum();
  const Subspace subspace = dominant_subspace(moment, energy, "site");
  EXPECT_NEAR(static_cast<double>(subspace.rank), 101, 1);
  EXPECT_LT(subspace.residual, 1e-12);
  EXPECT_LT(error_of_update(subspace, values, vectors), 1e-5);
}

}  // namespace
}  // namespace sagesan
