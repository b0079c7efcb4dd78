// What holds of the solver whatever the shapes, ranks and spectra, against Eigen in float64.
// RC_PARAMS="max_success=1000" tries more; a failure prints the case and how to run it again.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <cstring>

#include "helpers/eigen.h"
#include "sagesan/sanitize/solver.h"
#include "sagesan/spectral/subspace.h"

namespace sagesan {
namespace {

using testing::Matrix;
using testing::Vector;

/// Inputs of any rank up to the number of channels, whose energies fall by a power and whose scale
/// is anything; some channels may be dead, and one may have ten thousand times the rest.
struct Problem {
  Matrix inputs, moment, update;
  SecondMoment collected;
};

Problem any_problem() {
  const auto channels = *rc::gen::inRange<int64_t>(1, 40);
  const auto tokens = *rc::gen::inRange<int64_t>(1, 80);
  const auto rank = *rc::gen::inRange<int64_t>(1, 1 + std::min(channels, tokens));
  const auto out = *rc::gen::inRange<int64_t>(1, 12);
  const auto power = *rc::gen::inRange(0, 4);
  const auto scale = std::pow(10.0, *rc::gen::inRange(-6, 6));
  const auto seed = *rc::gen::inRange<uint64_t>(0, 1 << 20);
  Matrix factors = testing::random_matrix(tokens, rank, seed + 1);
  for (int64_t i = 0; i < rank; ++i) factors.col(i) *= scale * std::pow(i + 1, -power);
  Matrix inputs = factors * testing::random_matrix(rank, channels, seed + 2);
  const auto odd = *rc::gen::inRange(0, 3);
  if (odd == 1 && channels > 1) inputs.col(channels / 2).setZero();
  if (odd == 2) inputs.col(channels / 2) *= 1e4;
  inputs = inputs.cast<float>().cast<double>();
  SecondMoment collected(channels, tokens, at::kCPU);
  collected.add(testing::to_tensor(inputs));
  Matrix moment = inputs.transpose() * inputs / static_cast<double>(tokens);
  return {inputs, moment, testing::random_matrix(out, channels, seed + 3), std::move(collected)};
}

double any_energy() { return *rc::gen::element(0.1, 0.5, 0.9, 0.95, 0.99, 1.0); }
double any_strength() { return std::pow(10.0, *rc::gen::inRange(-6, 9)); }

Matrix removed(const Problem& problem, const Subspace& subspace, double strength) {
  return testing::to_eigen(
      removed_from_linear(testing::to_tensor(problem.update), subspace, strength));
}

RC_GTEST_PROP(SolverProperties, NothingIsRemovedAtStrengthZero, ()) {
  const Problem problem = any_problem();
  const Subspace subspace = dominant_subspace(problem.collected, any_energy(), "site");
  RC_ASSERT((removed(problem, subspace, 0).array() == 0).all());
}

RC_GTEST_PROP(SolverProperties, TheBiasFallsWithTheStrengthAndNeverRises, ()) {
  const Problem problem = any_problem();
  const Subspace subspace = dominant_subspace(problem.collected, any_energy(), "site");
  const double strength = any_strength();
  const double before = testing::bias_of(problem.update, problem.moment);
  const auto bias_at = [&](double s) {
    return testing::bias_of(problem.update - removed(problem, subspace, s), problem.moment);
  };
  const double weak = bias_at(strength), strong = bias_at(10 * strength);
  RC_ASSERT(std::isfinite(weak));
  RC_ASSERT(weak <= before * (1 + 1e-6));
  RC_ASSERT(strong <= weak + 1e-6 * before);
}

RC_GTEST_PROP(SolverProperties, TheUpdateNeverGrowsAndWhatIsRemovedLiesInTheSubspace, ()) {
  const Problem problem = any_problem();
  const Subspace subspace = dominant_subspace(problem.collected, any_energy(), "site");
  const Matrix taken = removed(problem, subspace, any_strength());
  const double norm = problem.update.norm();
  RC_ASSERT((problem.update - taken).norm() <= norm * (1 + 1e-5));
  const Matrix u = testing::to_eigen(subspace.directions);
  RC_ASSERT((taken - taken * u * u.transpose()).norm() <= 1e-5 * norm);
}

RC_GTEST_PROP(SolverProperties, EnergyOneIsTheRidgeSolution, ()) {
  const Problem problem = any_problem();
  const double strength = std::pow(10.0, *rc::gen::inRange(-3, 3));
  const Subspace subspace = dominant_subspace(problem.collected, 1, "site");
  const auto channels = problem.moment.rows();
  const Matrix system =
      Matrix::Identity(channels, channels) +
      strength * static_cast<double>(channels) / problem.moment.trace() * problem.moment;
  const Matrix expected = testing::divide(problem.update, system);
  // The moment is rounded, which the strength multiplies.
  const double largest = problem.moment.diagonal().maxCoeff() / problem.moment.diagonal().mean();
  RC_ASSERT((problem.update - removed(problem, subspace, strength) - expected).norm() <=
            (1e-4 + kMomentRounding * strength * largest) * problem.update.norm());
}

RC_GTEST_PROP(SolverProperties, ALowRankUpdateStaysOne, ()) {
  Problem problem = any_problem();
  const auto out = problem.update.rows(), channels = problem.update.cols();
  problem.update = testing::random_matrix(out, 1, 5) * testing::random_matrix(1, channels, 6);
  const Subspace subspace = dominant_subspace(problem.collected, any_energy(), "site");
  const Vector values =
      testing::singular_values(problem.update - removed(problem, subspace, any_strength()));
  for (int64_t i = 1; i < values.size(); ++i) RC_ASSERT(values[i] <= 1e-5 * problem.update.norm());
}

RC_GTEST_PROP(SolverProperties, ThroughTheRootItIsTheSame, ()) {
  const Problem problem = any_problem();
  const Subspace subspace = dominant_subspace(problem.collected, any_energy(), "site");
  const double strength = any_strength();
  const Tensor d = testing::to_tensor(problem.update);
  const Matrix root = testing::to_eigen(subspace.root.values);
  const SolvedThroughRoot found = solve_linear(d, subspace.root.image(d), subspace, strength);
  const Matrix plain = removed(problem, subspace, strength);
  RC_ASSERT((testing::to_eigen(found.removed) - plain).norm() <= 1e-4 * problem.update.norm());
  const double whole = (problem.update * root).norm();
  RC_ASSERT((testing::to_eigen(found.image) - (problem.update - plain) * root).norm() <=
            1e-4 * whole);
}

RC_GTEST_PROP(SolverProperties, TakingNothingOutKeepsTheBitsOfEveryDtype, ()) {
  const auto seed = *rc::gen::inRange<uint64_t>(0, 1 << 20);
  const auto type = *rc::gen::element(at::kFloat, at::kDouble, at::kBFloat16, at::kHalf);
  const Tensor unlearned = testing::to_tensor(testing::random_matrix(3, 7, seed), type);
  const Tensor result =
      take_out(unlearned, at::zeros({3, 7}, type == at::kDouble ? type : at::kFloat),
               dtype_of(unlearned), "w");
  RC_ASSERT(result.scalar_type() == type);
  RC_ASSERT(std::memcmp(result.data_ptr(), unlearned.data_ptr(), result.nbytes()) == 0);
}

}  // namespace
}  // namespace sagesan
