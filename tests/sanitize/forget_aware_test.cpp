#include "sagesan/sanitize/forget_aware.h"

#include <gtest/gtest.h>

#include "helpers/eigen.h"
#include "sagesan/sanitize/solver.h"
#include "sagesan/spectral/subspace.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

using testing::Matrix;

constexpr int64_t kTextChannels = 40;

struct Texts {
  Matrix scaled;  ///< second moment with mean eigenvalue 1
  SecondMoment collected;
};

Texts make_texts(int64_t tokens, uint64_t seed) {
  const Matrix inputs = testing::random_inputs(tokens, kTextChannels, seed);
  SecondMoment collected(kTextChannels, tokens, at::kCPU);
  collected.add(testing::to_tensor(inputs));
  const Matrix moment = inputs.transpose() * inputs;
  return {moment * (kTextChannels / moment.trace()), std::move(collected)};
}

Matrix sanitized(const ForgetAnchor& anchor, const Matrix& update, double strength) {
  const Rule rule = forget_aware_rule(anchor, strength);
  return update - testing::to_eigen(rule.removed(testing::to_tensor(update), 0, strength));
}

/// Tokens of the retain and of the forget texts: fewer than channels, or more.
class ForgetAware : public ::testing::TestWithParam<std::pair<int64_t, int64_t>> {};

TEST_P(ForgetAware, SolvesTheNormalEquations) {
  // The minimizer of ||(X - D) A^(1/2)||^2 + s ||X S^(1/2)||^2 solves X (A + s S) = D A.
  const Texts retain = make_texts(GetParam().first, 3);
  const Texts forget = make_texts(GetParam().second, 4);
  const Matrix update = testing::random_matrix(9, kTextChannels, 5);
  for (const double floor : {0.1, 1.0}) {
    const ForgetAnchor anchor(retain.collected, 0, &forget.collected, 0, floor, "site");
    for (const double strength : {0.01, 1.0, 30.0}) {
      const Matrix a = forget.scaled + floor * Matrix::Identity(kTextChannels, kTextChannels);
      const Matrix expected = testing::divide(update * a, a + strength * retain.scaled);
      EXPECT_LT(testing::relative_error(sanitized(anchor, update, strength), expected), 1e-5)
          << strength << " " << floor;
    }
  }
}

TEST_P(ForgetAware, MeasuresTheRetainBias) {
  const Texts retain = make_texts(GetParam().first, 3);
  const Texts forget = make_texts(GetParam().second, 4);
  const Matrix update = testing::random_matrix(9, kTextChannels, 5);
  const ForgetAnchor anchor(retain.collected, 0, &forget.collected, 0, 1, "site");
  const Matrix inputs = testing::random_inputs(GetParam().first, kTextChannels, 3);
  const double expected =
      (update * inputs.transpose()).squaredNorm() / static_cast<double>(GetParam().first);
  EXPECT_NEAR(forget_aware_rule(anchor, 1).measures.at(0)(testing::to_tensor(update), 0) / expected,
              1, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(FewAndManyTokens, ForgetAware,
                         ::testing::Values(std::pair{20, 15}, std::pair{200, 15},
                                           std::pair{20, 300}, std::pair{200, 300}));

TEST(ForgetAnchor, WithoutForgetTextsIsTheRidgeSolution) {
  const Texts retain = make_texts(100, 3);
  const Matrix update = testing::random_matrix(9, kTextChannels, 5);
  const ForgetAnchor anchor(retain.collected, 0, nullptr, 0, 1, "site");
  const Subspace ridge = dominant_subspace(retain.collected, 1, "site");
  const Matrix expected =
      update - testing::to_eigen(removed_from_linear(testing::to_tensor(update), ridge, 2));
  EXPECT_LT(testing::relative_error(sanitized(anchor, update, 2), expected), 1e-5);
}

TEST(ForgetAnchor, MeasuresByTheFactorOfItsSystem) {
  constexpr int64_t kTokens = 200;
  const Texts retain = make_texts(kTokens, 3);
  const Matrix inputs = testing::random_inputs(kTokens, kTextChannels, 3);
  const auto response = [&](const Matrix& m) {
    return (m * inputs.transpose()).squaredNorm() / static_cast<double>(kTokens);
  };
  const Matrix update = testing::random_matrix(9, kTextChannels, 5);
  const Tensor d = testing::to_tensor(update);
  const ForgetAnchor anchor(retain.collected, 0, nullptr, 0, 0.5, "site");
  for (const double strength : {0.06, 1.0, 100.0}) {
    const std::optional<ThroughRoot> through = anchor.through_system(strength);
    ASSERT_TRUE(through) << strength;
    const Tensor image = through->root.image(d);
    EXPECT_NEAR(through->response(image, d) / response(update), 1, 1e-5) << strength;
    const SolvedThroughRoot solved = through->solve(d, image, 0, strength);
    const Tensor left = d - solved.removed;
    EXPECT_LT(testing::relative_error(testing::to_eigen(left), sanitized(anchor, update, strength)),
              1e-6);
    EXPECT_NEAR(through->response(solved.image, left) / response(testing::to_eigen(left)), 1, 1e-4)
        << strength;
  }
}

TEST(ForgetAnchor, MeasuresByTheRootWhereItsSystemWouldNotDo) {
  const Texts retain = make_texts(200, 3);
  const Texts few = make_texts(20, 3);
  const Texts forget = make_texts(100, 4);
  const ForgetAnchor plain(retain.collected, 0, nullptr, 0, 1, "site");
  EXPECT_TRUE(plain.through_system(1));
  for (const double strength : {0.0, 1e-3, 1e6}) EXPECT_FALSE(plain.through_system(strength));
  EXPECT_FALSE(ForgetAnchor(few.collected, 0, nullptr, 0, 1, "site").through_system(1));
  EXPECT_FALSE(
      ForgetAnchor(retain.collected, 0, &forget.collected, 0, 1, "site").through_system(1));
  // An expert beside which the others have ten thousand times its energy.
  const double all = 1e4 * retain.collected.trace();
  EXPECT_FALSE(ForgetAnchor(retain.collected, all, nullptr, 0, 1, "site").through_system(1));
}

TEST(ForgetAnchor, RefusesStoredSumsThatAreNoSecondMoment) {
  // With an eigenvalue of minus half the mean one, so that the system has a factor.
  const Texts retain = make_texts(200, 3);
  const testing::Spectrum spectrum = testing::spectrum(retain.scaled);
  const Matrix u = spectrum.vectors.leftCols(1);
  const auto stored = [&](double eigenvalue) {
    const Matrix sum = retain.scaled + (eigenvalue - spectrum.values(0)) * u * u.transpose();
    return SecondMoment(MomentSums{.sum = testing::to_tensor(sum).to(at::kDouble),
                                   .mean_sum = at::zeros({kTextChannels}, at::kDouble),
                                   .weight = 1,
                                   .count = 200});
  };
  const Tensor d = testing::to_tensor(testing::random_matrix(9, kTextChannels, 5));
  const SecondMoment good = stored(0.5);
  EXPECT_TRUE(ForgetAnchor(good, 0, nullptr, 0, 1, "site").removed(d, 1).defined());
  const SecondMoment bad = stored(-0.5);
  EXPECT_THROW(ForgetAnchor(bad, 0, nullptr, 0, 1, "site").removed(d, 1), Error);
}

TEST(ForgetAnchor, HoldsWhatTheForgetTextsUse) {
  // An update in the direction that carries the forget texts, and one across it: the first gives
  // way less than it would without forget texts, relative to the second.
  const Texts retain = make_texts(200, 3);
  const Texts forget = make_texts(200, 4);
  const testing::Spectrum spectrum = testing::spectrum(forget.scaled);
  const Matrix used = spectrum.vectors.rightCols(1).transpose();
  const Matrix unused = spectrum.vectors.leftCols(1).transpose();
  const ForgetAnchor with(retain.collected, 0, &forget.collected, 0, 0.1, "site");
  const ForgetAnchor without(retain.collected, 0, nullptr, 0, 0.1, "site");
  EXPECT_GT(sanitized(with, used, 1).norm(), 1.5 * sanitized(without, used, 1).norm());
  EXPECT_NEAR(sanitized(with, unused, 1).norm() / sanitized(without, unused, 1).norm(), 1, 0.2);
}

TEST(ForgetAnchor, LeavesAloneWhatRepeatedTokensDoNotUse) {
  // Their moment is singular, and rounded: what an update has outside of it stays.
  const Matrix few = testing::random_inputs(10, kTextChannels, 3);
  SecondMoment retain(kTextChannels, 200, at::kCPU);
  for (int i = 0; i < 20; ++i) retain.add(testing::to_tensor(few));
  const testing::Spectrum spectrum = testing::spectrum(few.transpose() * few);
  const Matrix unused = spectrum.vectors.leftCols(kTextChannels - 10).transpose();
  const ForgetAnchor anchor(retain, 0, nullptr, 0, 1, "site");
  EXPECT_LT(testing::relative_error(sanitized(anchor, unused, 100), unused), 2e-3);
  // An extreme strength may take of it, but is solved.
  EXPECT_LE(sanitized(anchor, unused, 1e6).norm(), 1.001 * unused.norm());
}

TEST(ForgetAnchor, LeavesAloneWhatFewTokensDoNotUseAtAnyStrength) {
  const Matrix few = testing::random_inputs(10, kTextChannels, 3);
  SecondMoment retain(kTextChannels, 10, at::kCPU);
  retain.add(testing::to_tensor(few));
  const Matrix rounded = testing::to_eigen(retain.rows());
  const testing::Spectrum spectrum = testing::spectrum(rounded.transpose() * rounded);
  const Matrix unused = spectrum.vectors.leftCols(kTextChannels - 10).transpose();
  const ForgetAnchor anchor(retain, 0, nullptr, 0, 1, "site");
  for (const double strength : {1.0, 100.0, 1e4, 1e6, 1e8})
    EXPECT_LT(testing::relative_error(sanitized(anchor, unused, strength), unused), 1e-6)
        << strength;
}

TEST(ForgetAnchor, TakesNothingOutAtStrengthZero) {
  const Texts retain = make_texts(100, 3);
  const Texts forget = make_texts(100, 4);
  const ForgetAnchor anchor(retain.collected, 0, &forget.collected, 0, 1, "site");
  const Tensor update = at::ones({3, kTextChannels});
  EXPECT_EQ(squared_norm(anchor.removed(update, 0)), 0);
}

TEST(ForgetAnchor, ScalesAnExpertByTheTraceOfAllExperts) {
  // Half the reference trace doubles the moment, as twice the strength does for the retain one.
  const Texts retain = make_texts(100, 3);
  const double trace = retain.collected.trace();
  const ForgetAnchor rare(retain.collected, trace / 2, nullptr, 0, 1, "site");
  const ForgetAnchor own(retain.collected, 0, nullptr, 0, 1, "site");
  const Tensor update = testing::to_tensor(testing::random_matrix(9, kTextChannels, 5));
  const Tensor expected = own.removed(update, 2);
  EXPECT_LT(squared_norm(rare.removed(update, 1) - expected) / squared_norm(expected), 1e-12);
}

}  // namespace
}  // namespace sagesan
