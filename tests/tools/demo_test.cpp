#include "demo/demo.h"

#include <gtest/gtest.h>

namespace sagesan::demo {
namespace {

const Scores kUnlearned{.forget = 0.1, .heldout = 0.4};
const std::vector<Variant> kVariants = {{"sanitized", 0.1, {.forget = 0.15, .heldout = 0.6}},
                                        {"scaled", 1, {.forget = 0.5, .heldout = 0.5}},
                                        {"sanitized", 1, {.forget = 0.35, .heldout = 0.8}}};

TEST(Interpolate, IsLinearBetweenNeighboursOfOneApproach) {
  EXPECT_DOUBLE_EQ(*interpolate(kUnlearned, kVariants, "sanitized", 0.2), 0.65);
  EXPECT_DOUBLE_EQ(*interpolate(kUnlearned, kVariants, "sanitized", 0.125), 0.5);
  EXPECT_DOUBLE_EQ(*interpolate(kUnlearned, kVariants, "sanitized", 0.35), 0.8);
  EXPECT_DOUBLE_EQ(*interpolate(kUnlearned, kVariants, "scaled", 0.3), 0.45);
}

TEST(Interpolate, NothingOutsideTheCurve) {
  EXPECT_FALSE(interpolate(kUnlearned, kVariants, "sanitized", 0.4));
  EXPECT_FALSE(interpolate(kUnlearned, kVariants, "sanitized", 0.05));
  EXPECT_FALSE(interpolate(kUnlearned, kVariants, "random", 0.2));
}

TEST(MeanRetention, IsOverTheSeedsWhereAllThreeAreThere) {
  DemoResult result;
  const auto add = [&](const std::string& method, Retention retention) {
    result.methods.push_back({.method = method, .retention = retention});
  };
  add("ga", {.forget = 0.2, .scaled = 0.4, .random = 0.5, .sanitized = 0.6});
  add("ga", {.forget = 0.1, .scaled = 0.6, .random = 0.6, .sanitized = 0.9});
  add("ga", {.forget = 0.2, .scaled = 0.1, .sanitized = 0.1});
  add("npo", {.forget = 0.2, .scaled = 1, .random = 1, .sanitized = 1});
  const Retention mean = result.mean_retention("ga");
  EXPECT_DOUBLE_EQ(mean.forget, 0.15);
  EXPECT_DOUBLE_EQ(*mean.scaled, 0.5);
  EXPECT_DOUBLE_EQ(*mean.random, 0.55);
  EXPECT_DOUBLE_EQ(*mean.sanitized, 0.75);
  EXPECT_FALSE(result.mean_retention("graddiff").sanitized);
}

}  // namespace
}  // namespace sagesan::demo
