#include "sagesan/sanitize/damping_curve.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace sagesan {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

DampingCurve curve(const std::vector<std::pair<double, double>>& points) {
  DampingCurve result;
  for (const auto& [penalty, amount] : points) result.add(penalty, amount);
  return result;
}

TEST(DampingCurve, KeepsWhatTheFormulaSays) {
  const DampingCurve mixed = curve({{2, 3}, {0, 1}, {2, 1}});
  EXPECT_DOUBLE_EQ(mixed.kept(0), 1);
  EXPECT_DOUBLE_EQ(mixed.kept(0.5), (4 / 4.0 + 1) / 5);
  EXPECT_DOUBLE_EQ(mixed.kept(kInfinity), 1 / 5.0);
  EXPECT_DOUBLE_EQ(DampingCurve().kept(3), 1);
}

TEST(StrengthFor, FindsTheRoot) {
  const std::vector<DampingCurve> one = {curve({{2, 3}})};
  EXPECT_NEAR(strength_for(one, 0.25) / 0.5, 1, 1e-9);  // 1 / (1 + 2 s)^2 = 1/4
  const std::vector<DampingCurve> two = {curve({{2, 3}}), curve({{0.5, 1}})};
  EXPECT_NEAR(strength_for(two, 0.25) / 2, 1, 1e-9);  // the slower one decides
  EXPECT_EQ(strength_for(one, 1), 0);
  EXPECT_EQ(strength_for(one, 1.5), 0);
}

TEST(StrengthFor, IsInfiniteWhereSomethingIsNeverDamped) {
  const std::vector<DampingCurve> curves = {curve({{1, 1}, {0, 1}})};
  EXPECT_EQ(strength_for(curves, 0.4), kInfinity);
  EXPECT_TRUE(std::isfinite(strength_for(curves, 0.6)));
}

}  // namespace
}  // namespace sagesan
