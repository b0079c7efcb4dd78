#include "sagesan/sanitize/solver.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "helpers/eigen.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

using testing::Matrix;
using testing::Vector;

struct LinearProblem {
  Matrix inputs;  // [tokens, channels]
  Matrix moment;  // S
  Matrix update;  // D [out, channels]
  SecondMoment collected;
};

LinearProblem make_problem(int64_t tokens, int64_t channels, uint64_t seed) {
  Matrix inputs = testing::random_inputs(tokens, channels, seed);
  SecondMoment collected(channels, tokens, at::kCPU);
  collected.add(testing::to_tensor(inputs));
  Matrix moment = inputs.transpose() * inputs / static_cast<double>(tokens);
  return {inputs, moment, testing::random_matrix(9, channels, seed + 5), std::move(collected)};
}

Matrix sanitized(const LinearProblem& problem, const Subspace& subspace, double strength) {
  return problem.update - testing::to_eigen(removed_from_linear(testing::to_tensor(problem.update),
                                                                subspace, strength));
}

class LinearSolver : public ::testing::TestWithParam<int64_t> {};

TEST_P(LinearSolver, SolvesTheNormalEquations) {
  // The minimizer of |X - D|^2 + s |X U diag(h)^(1/2)|^2 solves X (I + s U diag(h) U^T) = D; U and
  // h come from an independent float64 decomposition.
  const LinearProblem problem = make_problem(GetParam(), 40, 3);
  const testing::Spectrum eigen = testing::spectrum(problem.moment);
  for (const double strength : {0.01, 1.0, 30.0}) {
    const Subspace subspace = dominant_subspace(problem.collected, 0.9, "site");
    const int64_t k = subspace.rank;
    const Matrix u = eigen.vectors.rightCols(k);
    const Vector h = eigen.values.tail(k) * 40 / problem.moment.trace();
    const Matrix system = Matrix::Identity(40, 40) + strength * u * h.asDiagonal() * u.transpose();
    const Matrix expected = testing::divide(problem.update, system);
    EXPECT_LT((sanitized(problem, subspace, strength) - expected).norm() / problem.update.norm(),
              2e-6)
        << strength;
  }
}

TEST_P(LinearSolver, FullEnergyIsTheRidgeSolution) {
  const LinearProblem problem = make_problem(GetParam(), 40, 4);
  const Subspace subspace = dominant_subspace(problem.collected, 1, "site");
  for (const double strength : {0.1, 1.0, 10.0}) {
    const Matrix system =
        Matrix::Identity(40, 40) + strength * 40 / problem.moment.trace() * problem.moment;
    const Matrix expected = testing::divide(problem.update, system);
    EXPECT_LT((sanitized(problem, subspace, strength) - expected).norm() / problem.update.norm(),
              1e-5)
        << strength;
  }
}

TEST_P(LinearSolver, BiasFallsWithTheStrengthToTheHardProjection) {
  const LinearProblem problem = make_problem(GetParam(), 40, 5);
  const Subspace subspace = dominant_subspace(problem.collected, 0.9, "site");
  double last = testing::bias_of(problem.update, problem.moment);
  for (const double strength : {0.01, 0.1, 1.0, 10.0, 1e3, 1e6}) {
    const double now = testing::bias_of(sanitized(problem, subspace, strength), problem.moment);
    EXPECT_LT(now, last) << strength;
    last = now;
  }
  const Matrix u = testing::to_eigen(subspace.directions);
  const Matrix projected = problem.update - problem.update * u * u.transpose();
  EXPECT_LT((sanitized(problem, subspace, 1e12) - projected).norm() / problem.update.norm(), 1e-6);
}

TEST_P(LinearSolver, LowRankStaysLowRank) {
  LinearProblem problem = make_problem(GetParam(), 40, 6);
  problem.update = testing::random_matrix(9, 2, 77) * testing::random_matrix(2, 40, 78);
  const Subspace subspace = dominant_subspace(problem.collected, 0.9, "site");
  const Matrix result = sanitized(problem, subspace, 3);
  const Vector singular = testing::singular_values(result);
  EXPECT_GT(singular[1], 1e-2 * singular[0]);
  EXPECT_LT(singular[2], 1e-6 * singular[0]);
}

TEST_P(LinearSolver, IsLinearInTheUpdateAndIdleAtStrengthZero) {
  const LinearProblem problem = make_problem(GetParam(), 40, 7);
  const Subspace subspace = dominant_subspace(problem.collected, 0.9, "site");
  EXPECT_EQ(testing::to_eigen(removed_from_linear(testing::to_tensor(problem.update), subspace, 0))
                .norm(),
            0);
  const Matrix once =
      testing::to_eigen(removed_from_linear(testing::to_tensor(problem.update), subspace, 2));
  const Matrix twice =
      testing::to_eigen(removed_from_linear(testing::to_tensor(2 * problem.update), subspace, 2));
  EXPECT_LT(testing::relative_error(twice, 2 * once), 1e-7);
}

/// What solving by D R gives must be what the plain form gives, and its image that of what is left.
void expect_through_root(const SolvedThroughRoot& found, const Matrix& removed, const Matrix& d,
                         const Subspace& subspace) {
  const Matrix root = testing::to_eigen(subspace.root.values);
  EXPECT_LT((testing::to_eigen(found.removed) - removed).norm() / d.norm(), 2e-6);
  EXPECT_LT((testing::to_eigen(found.image) - (d - removed) * root).norm() / (d * root).norm(),
            2e-6);
}

TEST_P(LinearSolver, ThroughTheRootItIsTheSame) {
  const LinearProblem problem = make_problem(GetParam(), 40, 8);
  const Tensor d = testing::to_tensor(problem.update);
  const Subspace own = dominant_subspace(problem.collected, 0.9, "site");
  EXPECT_FALSE(own.directions_in_root.defined());
  const Matrix root = testing::to_eigen(own.root.values);
  EXPECT_LT(testing::relative_error(root * root.transpose(), problem.moment), 1e-6);
  for (const Subspace& subspace : {own, with_random_directions(own, 1)}) {
    for (const double strength : {0.0, 2.0, std::numeric_limits<double>::infinity()}) {
      const Tensor removed = removed_from_linear(d, subspace, strength);
      expect_through_root(solve_linear(d, subspace.root.image(d), subspace, strength),
                          testing::to_eigen(removed), problem.update, subspace);
    }
  }
}

TEST_P(LinearSolver, ThroughTheRootALowerEnergyAReferenceAndDeadChannelsAreTheSame) {
  LinearProblem problem = make_problem(GetParam(), 40, 9);
  problem.inputs.rightCols(3).setZero();
  problem.inputs.col(0) *= 1e4;
  SecondMoment moment(40, GetParam(), at::kCPU);
  moment.add(testing::to_tensor(problem.inputs));
  const Spectrum spectrum(moment, 1, "site", 3 * moment.trace());
  const Tensor d = testing::to_tensor(problem.update);
  for (const double energy : {0.5, 0.9, 1.0}) {
    const Subspace subspace = spectrum.leading(energy);
    const Tensor removed = removed_from_linear(d, subspace, 2);
    expect_through_root(solve_linear(d, subspace.root.image(d), subspace, 2),
                        testing::to_eigen(removed), problem.update, subspace);
  }
}

// More tokens than channels, and fewer.
INSTANTIATE_TEST_SUITE_P(Tokens, LinearSolver, ::testing::Values(300, 15));

TEST(BiasSolver, DividesByOnePlusStrength) {
  const Matrix d = testing::random_matrix(6, 1, 1);
  EXPECT_LT(testing::relative_error(
                d - testing::to_eigen(removed_from_bias(testing::to_tensor(d), 4)), d / 5),
            1e-6);
}

TEST(NormSolver, DividesByChannel) {
  const Tensor d = at::tensor(std::vector<double>{1, 1, 1, 1}, at::kDouble);
  const Tensor energies = at::tensor(std::vector<double>{0, 0.5, 1, 2.5}, at::kDouble);
  const Matrix left = testing::to_eigen(d - removed_from_norm(d, energies, 2));
  EXPECT_LT((left - (Matrix(4, 1) << 1, 1.0 / 2, 1.0 / 3, 1.0 / 6).finished()).norm(), 1e-15);
}

TEST(EmbeddingSolver, UnseenRowsStay) {
  // Tokens 0 (twice), 2 (once) of 4 rows: p = 2/3, 1/3; two distinct, so e = 4/3, 0, 2/3, 0.
  const Tensor energies =
      embedding_energies({at::tensor(std::vector<double>{2, 0, 1, 0}, at::kDouble), 3});
  const Matrix d = testing::random_matrix(4, 3, 2);
  const Matrix left =
      d - testing::to_eigen(removed_from_embedding(testing::to_tensor(d), energies, 3));
  EXPECT_LT((left.row(0) - d.row(0) / 5).norm(), 1e-6);
  EXPECT_LT((left.row(2) - d.row(2) / 3).norm(), 1e-6);
  EXPECT_LT((left.row(1) - d.row(1)).norm(), 1e-7);
}

TEST(TiedEmbeddingSolver, SolvesBothPenaltiesRowByRow) {
  // Row v minimizes |x - D_v|^2 + s e_v |x|^2 + s x U diag(h) U^T x^T: x ((1 + s e_v) I + s U
  // diag(h) U^T) = D_v.
  const LinearProblem problem = make_problem(200, 24, 8);
  const Matrix d = testing::random_matrix(6, 24, 9);
  const std::vector<double> counts = {5, 0, 1, 1, 0, 3};
  const Tensor energies = embedding_energies({at::tensor(counts, at::kDouble), 10});
  const Subspace head = dominant_subspace(problem.collected, 0.8, "head_input");
  const double strength = 2.5;
  const Matrix left = d - testing::to_eigen(removed_from_tied_embedding(testing::to_tensor(d),
                                                                        energies, head, strength));
  const testing::Spectrum eigen = testing::spectrum(problem.moment);
  const Matrix u = eigen.vectors.rightCols(head.rank);
  const Vector h = eigen.values.tail(head.rank) * 24 / problem.moment.trace();
  for (int64_t v = 0; v < 6; ++v) {
    const double e = counts[static_cast<size_t>(v)] / 10 * 4;
    const Matrix system = (1 + strength * e) * Matrix::Identity(24, 24) +
                          strength * u * h.asDiagonal() * u.transpose();
    const Matrix expected = testing::divide(d.row(v), system);
    EXPECT_LT((left.row(v) - expected).norm() / d.row(v).norm(), 1e-5) << v;
  }
}

TEST(TiedEmbeddingSolver, ThroughTheRootItIsTheSame) {
  const LinearProblem problem = make_problem(200, 24, 10);
  const Matrix d = testing::random_matrix(6, 24, 11);
  const Tensor energies =
      embedding_energies({at::tensor(std::vector<double>{5, 0, 1, 1, 0, 3}, at::kDouble), 10});
  const Subspace head = dominant_subspace(problem.collected, 0.8, "head_input");
  for (const Subspace& subspace : {head, with_random_directions(head, 1)}) {
    const Tensor update = testing::to_tensor(d);
    const Tensor removed = removed_from_tied_embedding(update, energies, subspace, 2.5);
    expect_through_root(
        solve_tied_embedding(update, subspace.root.image(update), energies, subspace, 2.5),
        testing::to_eigen(removed), d, subspace);
  }
}

TEST(TakeOut, RoundsOnceAndKeepsBitsWhereNothingIsRemoved) {
  const Tensor unlearned =
      at::tensor(std::vector<float>{1.0F, -0.0F, 3.0F}, at::kFloat).to(at::kBFloat16);
  const Tensor removed = at::tensor(std::vector<float>{0.0F, -0.0F, 0.01F}, at::kFloat);
  const Tensor result = take_out(unlearned, removed, dtype_of(unlearned), "w");
  EXPECT_EQ(result.scalar_type(), at::kBFloat16);
  EXPECT_EQ(result[0].item<float>(), 1.0F);
  EXPECT_TRUE(std::signbit(result[1].item<float>()));
  EXPECT_EQ(result[2].item<float>(), 2.984375F);  // 2.99 in steps of 1/64
}

TEST(TakeOut, RefusesWhatOverflowsTheStoredDtype) {
  const Tensor unlearned = at::tensor(std::vector<float>{60000.0F}, at::kFloat).to(at::kHalf);
  const Tensor removed = at::tensor(std::vector<float>{-60000.0F}, at::kFloat);
  EXPECT_THROW(take_out(unlearned, removed, dtype_of(unlearned), "w"), Error);
}

}  // namespace
}  // namespace sagesan
