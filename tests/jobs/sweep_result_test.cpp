#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "helpers/files.h"
#include "sagesan/jobs/sweep.h"
#include "sagesan/report/figures.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

LikelihoodSummary loss(double value) {
  return {.records = 1, .tokens = 1, .mean_negative_log_likelihood = value};
}

SweepCandidate candidate(Method method, double strength, double forget, double retain) {
  return {.method = method, .strength = strength, .forget = loss(forget), .retain = loss(retain)};
}

/// Base at (1, 1), unlearned at (5, 3).
SweepResult make_result(std::vector<SweepCandidate> candidates) {
  SweepResult result{.base_forget = loss(1),
                     .base_retain = loss(1),
                     .unlearned = candidate(Method::kScale, 0, 5, 3),
                     .candidates = std::move(candidates),
                     .keep_forgetting = 0.9};
  judge_candidates(result);
  return result;
}

TEST(SweepResult, MeasuresSharesOfTheUnlearnedModelsRise) {
  const SweepResult result = make_result({candidate(Method::kSage, 1, 4, 1.5)});
  EXPECT_DOUBLE_EQ(result.candidates[0].kept_forgetting, 0.75);
  EXPECT_DOUBLE_EQ(result.candidates[0].recovered.value(), 0.75);
  EXPECT_DOUBLE_EQ(result.unlearned.kept_forgetting, 1);
  EXPECT_DOUBLE_EQ(result.unlearned.recovered.value(), 0);
}

TEST(SweepResult, TakesTheBestOfThoseThatForgetEnough) {
  const SweepResult result =
      make_result({candidate(Method::kScale, 0.1, 4.7, 2.5), candidate(Method::kSage, 1, 4.65, 2),
                   candidate(Method::kSage, 3, 4.5, 1.2)});
  EXPECT_EQ(&result.best(), &result.candidates[1]);  // 0.9 of the rise is a loss of 4.6
  EXPECT_EQ(&result.best_scaling(), &result.candidates[0]);
  EXPECT_FALSE(result.nothing_beats_scaling());
}

TEST(SweepResult, PrefersScalingWhereNothingIsBetter) {
  const SweepResult result = make_result(
      {candidate(Method::kSage, 1, 4.8, 2.5), candidate(Method::kScale, 0.1, 4.7, 2.5)});
  EXPECT_EQ(&result.best(), &result.candidates[1]);
  EXPECT_TRUE(result.nothing_beats_scaling());
}

TEST(SweepResult, KeepsTheUnlearnedModelWhereAllDoWorse) {
  const SweepResult result =
      make_result({candidate(Method::kSage, 1, 4.9, 3.1), candidate(Method::kScale, 1, 2, 1.1)});
  EXPECT_EQ(&result.best(), &result.unlearned);
  EXPECT_TRUE(result.nothing_beats_scaling());
  EXPECT_EQ(result.to_json()["best"], "unlearned");
}

TEST(SweepResult, InterpolatesAlongEachSeries) {
  // The level is 4.6. Sage passes it between (5, 3) and (4.2, 2): half way. Scaling never leaves it
  // behind; the hard projection is one point, which no way leads to.
  const SweepResult result = make_result(
      {candidate(Method::kSage, 3, 3, 1.5), candidate(Method::kSage, 1, 4.2, 2),
       candidate(Method::kScale, 0.1, 4.9, 2.9), candidate(Method::kScale, 0.2, 4.8, 2.8),
       candidate(Method::kNullspace, std::numeric_limits<double>::infinity(), 4, 2)});
  const auto points = result.at_equal_forgetting();
  ASSERT_EQ(points.size(), 3);
  EXPECT_EQ(points[0].series, "sage energy=0.95");
  EXPECT_NEAR(points[0].retain_loss.value(), 2.5, 1e-12);
  EXPECT_EQ(points[1].series, "scale");
  EXPECT_FALSE(points[1].retain_loss.has_value());
  EXPECT_FALSE(points[2].retain_loss.has_value());
}

/// Rollback has shares in the place of strengths. The level is 4.6.
TEST(SweepResult, InterpolatesAlongTheSharesOfRollback) {
  SweepCandidate much = candidate(Method::kRollback, 0, 4, 1);
  much.share = 0.5;
  SweepCandidate little = candidate(Method::kRollback, 0, 4.8, 2.5);
  little.share = 0.1;
  const SweepResult result = make_result({much, little});
  EXPECT_EQ(result.candidates[0].name(), "rollback share=0.5");
  const auto points = result.at_equal_forgetting();
  ASSERT_EQ(points.size(), 1);
  EXPECT_EQ(points[0].series, "rollback");
  EXPECT_NEAR(points[0].retain_loss.value(), 2.125, 1e-12);
}

TEST(SweepResult, IsAReportThatRulesCanBeHeldAgainst) {
  const SweepResult result =
      make_result({candidate(Method::kSage, 1, 4.8, 2), candidate(Method::kSage, 3, 4.2, 1.5)});
  const Json json = result.to_json();
  const ReportFigures figures = report_figures(json, "s.json");
  EXPECT_EQ(figures.require("base.forget.mean_negative_log_likelihood").value, 1);
  EXPECT_EQ(figures.require("unlearned.forget.mean_negative_log_likelihood").value, 5);
  EXPECT_EQ(figures.require("best.retain.mean_negative_log_likelihood").value, 2);
  EXPECT_EQ(figures.require("best.retain.mean_negative_log_likelihood").better, Better::kLower);
  EXPECT_EQ(figures.require("best.forget.mean_negative_log_likelihood").better, Better::kHigher);
  EXPECT_NEAR(figures.require("best.kept_forgetting").value, 0.95, 1e-12);
  EXPECT_NEAR(figures.require("at_equal_forgetting.sage energy=0.95").value,
              result.at_equal_forgetting()[0].retain_loss.value(), 1e-12);
  const auto refuse = [&](const char* key, const Json& value) {
    Json broken = json;
    broken[key] = value;
    testing::expect_input_error([&] { report_figures(broken, "s.json"); }, "s.json", key);
  };
  refuse("base", nullptr);
  refuse("best", 1);
  refuse("candidates", Json::object());
  refuse("candidates", {1});
  refuse("at_equal_forgetting", 3);
  refuse("schema_version", 2);
}

TEST(SweepResult, RefusesTextsThatAreNotForgotten) {
  SweepResult result{.base_forget = loss(2),
                     .base_retain = loss(1),
                     .unlearned = candidate(Method::kScale, 0, 2, 3)};
  try {
    judge_candidates(result);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadInput);
    EXPECT_NE(std::string(error.what()).find("not forgotten"), std::string::npos);
  }
}

TEST(SweepResult, SaysNothingOfDamageThatIsNotThere) {
  SweepResult result{.base_forget = loss(1),
                     .base_retain = loss(1),
                     .unlearned = candidate(Method::kScale, 0, 5, 0.9),
                     .candidates = {candidate(Method::kSage, 1, 4, 0.8)}};
  judge_candidates(result);
  EXPECT_FALSE(result.candidates[0].recovered.has_value());
  EXPECT_TRUE(result.to_json()["candidates"][0]["recovered"].is_null());
}

}  // namespace
}  // namespace sagesan
