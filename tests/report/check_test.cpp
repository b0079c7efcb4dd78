// The figures of reports, rules on them and comparisons with earlier ones.
#include "sagesan/report/check.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "helpers/files.h"
#include "report/report_testing.h"

namespace sagesan {
namespace {

ReportFigures sample_figures() { return sanitize_figures(testing::sample_report(), "r.json"); }

TEST(Figures, OfASanitizeReport) {
  const ReportFigures figures = sample_figures();
  const auto value = [&](const char* name) { return figures.require(name).value; };
  EXPECT_EQ(value("bias_after.max"), 0.005);
  EXPECT_EQ(figures.require("bias_after.max").tensor, "embed.weight (head)");
  EXPECT_DOUBLE_EQ(value("bias_after.mean"), 0.002);
  EXPECT_DOUBLE_EQ(value("bias_before.mean"), 0.006);
  EXPECT_DOUBLE_EQ(value("bias_kept"), 1.0 / 3);
  EXPECT_DOUBLE_EQ(value("norm_kept"), 1);
  EXPECT_DOUBLE_EQ(value("survival.int4"), 0.5);
  EXPECT_EQ(value("target_missed"), 1);
  EXPECT_EQ(value("changed"), 4);
  EXPECT_EQ(value("solved"), 3);
  EXPECT_EQ(value("tokens"), 100);
  EXPECT_EQ(figures.tensor_biases.size(), 4U);
}

TEST(Figures, PartsOfOneTensorThatMissTheTargetAreOneTensor) {
  SanitizeReport report = testing::sample_report();
  TensorReport part = report.tensors.front();
  part.target_reached = false;
  for (const int64_t expert : {0, 1, 11}) {
    part.expert = expert;
    part.name = "experts[" + std::to_string(expert) + "]";
    report.tensors.push_back(part);
  }
  const SanitizeSummary before = testing::sample_report().summary();
  EXPECT_EQ(report.summary().missed, before.missed + 1);
  EXPECT_EQ(report.summary().solved, before.solved + 1);
}

TEST(Figures, OfAReportWithoutBiases) {
  SanitizeReport report = testing::sample_report();
  report.tensors.erase(report.tensors.begin(), report.tensors.begin() + 3);
  testing::expect_input_error(
      [&] { sanitize_figures(report, "r.json").require("bias_after.max"); }, "r.json",
      "has no figure 'bias_after.max'; it has target_missed, changed, solved, tokens");
}

Json scores(double perplexity, bool forget) {
  return {{"file", "a.jsonl"},
          {"perplexity", perplexity},
          {"forget", forget},
          {"probability", {{"agg_value", 0.5}, {"value_by_index", {{"0", {{"prob", 0.5}}}}}}},
          {"truth_ratio", nullptr}};
}

TEST(Check, DigitsTellAValueFromItsBound) {
  const ReportFigures figures = sample_figures();
  const double bound = 0.004999999995;
  const CheckOutcome failed =
      check_rule({.figure = "bias_after.max", .at_most = true, .bound = bound}, figures);
  EXPECT_FALSE(failed.passed);
  EXPECT_EQ(failed.line(),
            "FAILED  bias_after.max <= 0.004999999995: 0.005 (tensor 'embed.weight (head)')");
  const double third = figures.require("bias_kept").value;
  const CheckOutcome close =
      check_rule({.figure = "bias_kept", .at_most = true, .bound = third * (1 - 1e-12)}, figures);
  EXPECT_TRUE(close.measured.starts_with("0.33333333333")) << close.measured;
}

TEST(Figures, OfAnEvaluation) {
  const Json one = {{"data", {{"a.b", scores(3, false)}, {"gone", scores(9, true)}}},
                    {"mia_min_k", {{"agg_value", 0.6}}},
                    {"retain_template", "x"}};
  const ReportFigures figures = report_figures(one, "e.json");
  EXPECT_EQ(figures.figures.size(), 5U);
  EXPECT_EQ(figures.require("a.b.perplexity").value, 3);
  EXPECT_EQ(figures.require("a.b.perplexity").better, Better::kLower);
  EXPECT_EQ(figures.require("a.b.probability").value, 0.5);
  EXPECT_EQ(figures.require("gone.perplexity").better, Better::kHigher);
  EXPECT_EQ(figures.require("gone.probability").better, Better::kLower);
  EXPECT_EQ(figures.require("mia_min_k").value, 0.6);
  EXPECT_EQ(figures.require("mia_min_k").better, Better::kUnknown);
  const ReportFigures several = report_figures({{"models", {{"m", one}}}}, "e.json");
  EXPECT_EQ(several.figures.size(), 5U);
  EXPECT_EQ(several.require("m.gone.perplexity").value, 9);
}

TEST(Figures, WhatIsNoReportIsRefused) {
  const auto refuse = [](const Json& json, const std::string& fragment) {
    testing::expect_input_error([&] { report_figures(json, "r.json"); }, "r.json", fragment);
  };
  refuse({{"x", 1}}, "is no report");
  refuse(Json::array(), "expected a JSON object");
  refuse({{"data", 1}}, "'data': expected an object");
  refuse({{"data", {{"a", 1}}}}, "data set 'a': expected a JSON object");
  refuse({{"models", Json::array()}}, "'models': expected an object");
  refuse({{"models", {{"m", Json::object()}}}}, "model 'm': key 'data': missing");
  refuse({{"data", {{"a", {{"p", {{"agg_value", "x"}}}}}}}}, "'agg_value': expected a number");
  refuse({{"data", Json::object()}, {"schema_version", 2}}, "this sagesan reads version 1");
}

TEST(CheckRules, BoundsCountAsHeld) {
  const ReportFigures figures = sample_figures();
  const auto passes = [&](const char* figure, bool at_most, double bound) {
    return check_rule({figure, at_most, bound}, figures).passed;
  };
  EXPECT_TRUE(passes("bias_after.max", true, 0.005));
  EXPECT_FALSE(passes("bias_after.max", true, 0.0049));
  EXPECT_TRUE(passes("norm_kept", false, 1));
  EXPECT_FALSE(passes("norm_kept", false, 1.0001));
}

TEST(CheckRules, TheLineSaysAll) {
  EXPECT_EQ(check_rule({"bias_after.max", true, 0.01}, sample_figures()).line(),
            "ok      bias_after.max <= 0.01: 0.005 (tensor 'embed.weight (head)')");
  EXPECT_EQ(check_rule({"norm_kept", false, 2}, sample_figures()).line(),
            "FAILED  norm_kept >= 2: 1");
  SanitizeReport report = testing::sample_report();
  report.tensors.resize(1);
  report.tensors[0].name = "a\x1b[2Jb";
  EXPECT_EQ(check_rule({"bias_after.max", true, 1}, sanitize_figures(report, "r")).line(),
            "ok      bias_after.max <= 1: 0.001 (tensor 'a\\u{1b}[2Jb')");
}

/// Whether the outcome of `figure` passed.
bool passed(const std::vector<CheckOutcome>& outcomes, const std::string& figure) {
  for (const CheckOutcome& outcome : outcomes) {
    if (outcome.rule == figure + " against the earlier") return outcome.passed;
  }
  ADD_FAILURE() << "no outcome of " << figure;
  return false;
}

TEST(CheckAgainst, ItselfPassesWithoutTolerance) {
  for (const CheckOutcome& outcome : check_against(sample_figures(), sample_figures(), 0))
    EXPECT_TRUE(outcome.passed) << outcome.line();
  EXPECT_EQ(check_against(sample_figures(), sample_figures(), 0).size(), 13U);
}

TEST(CheckAgainst, EachFigureHasItsWorseSide) {
  const ReportFigures earlier = sample_figures();
  const auto moved = [&](const char* figure, double factor) {
    ReportFigures now = earlier;
    for (ReportFigure& each : now.figures) {
      if (each.name == figure) each.value *= factor;
    }
    return passed(check_against(now, earlier, 0.05), figure);
  };
  EXPECT_TRUE(moved("bias_after.mean", 0.5));
  EXPECT_TRUE(moved("bias_after.mean", 1.04));
  EXPECT_FALSE(moved("bias_after.mean", 1.06));
  EXPECT_TRUE(moved("norm_kept", 1.5));
  EXPECT_TRUE(moved("norm_kept", 0.96));
  EXPECT_FALSE(moved("norm_kept", 0.94));
  EXPECT_TRUE(moved("tokens", 1.04));
  EXPECT_FALSE(moved("tokens", 1.06));
  EXPECT_FALSE(moved("tokens", 0.94));
}

TEST(CheckAgainst, OneTensorThatGotWorseIsNamed) {
  const ReportFigures earlier = sample_figures();
  ReportFigures now = earlier;
  now.tensor_biases["layers.0.q_proj.weight"] = 0.0012;  // below the largest, which stays
  now.tensor_biases["layers.1.q_proj.weight"] = 0.0031;
  now.tensor_biases["new"] = 1;
  const CheckOutcome outcome = check_against(now, earlier, 0.1).back();
  EXPECT_EQ(
      outcome.line(),
      "FAILED  bias_after of each tensor against the earlier: 0.0012, earlier 0.001: expected "
      "at most 0.0011 (tensor 'layers.0.q_proj.weight')");
  EXPECT_TRUE(check_against(now, earlier, 0.25).back().passed);
}

TEST(CheckAgainst, FromNothingToSomethingIsWorse) {
  ReportFigures earlier = sample_figures();
  earlier.tensor_biases["embed.weight"] = 0;
  const CheckOutcome outcome = check_against(sample_figures(), earlier, 1).back();
  EXPECT_FALSE(outcome.passed);
  EXPECT_NE(outcome.line().find("'embed.weight'"), std::string::npos) << outcome.line();
}

TEST(CheckAgainst, NothingInCommonIsRefused) {
  const ReportFigures other = report_figures({{"data", {{"a", scores(3, false)}}}}, "e.json");
  testing::expect_input_error([&] { check_against(sample_figures(), other, 0); }, "r.json",
                              "has no figure in common with e.json");
}

}  // namespace
}  // namespace sagesan
