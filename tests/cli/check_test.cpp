// `check`, through the program.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli/cli_fixture.h"
#include "sagesan/report/read_report.h"

namespace sagesan {
namespace {

using nlohmann::json;
using testing::Arguments;
using testing::joined;
using testing::read_file;
using testing::RunResult;
using testing::write_file;

class Check : public testing::CliTest {
 protected:
  std::filesystem::path report() const { return out() / "sagesan_report.json"; }
  void make_report(const Arguments& more = {}) {
    make_pair();
    succeed(sanitize(joined({"-q", "--overwrite"}, more)));
  }
  /// The check must fail with exit code 5; returns what it printed.
  std::string fail(const Arguments& arguments, const std::string& error) const {
    const RunResult run = testing::run_program(arguments);
    EXPECT_EQ(run.code, 5) << run.err;
    EXPECT_EQ(run.err, "sagesan: error: " + error + "\n");
    return run.out;
  }
};

TEST_F(Check, JudgesAReportByBounds) {
  make_report();
  json expected = json::parse(read_file(report()));
  std::string worst;
  double largest = -1;
  for (const json& tensor : expected["tensors"]) {
    if (tensor["bias_after"] > largest) {
      largest = tensor["bias_after"];
      worst = tensor["name"];
    }
  }
  const std::string passed =
      succeed({"check", report(), "--max-bias", "0.5", "--max-mean-bias", "0.5", "--min-norm-kept",
               "0.1", "--rule", "target_missed<=0"});
  EXPECT_EQ(passed.find("FAILED"), std::string::npos) << passed;
  EXPECT_TRUE(passed.starts_with(
      fmt::format("ok      bias_after.max <= 0.5: {:.6g} (tensor '{}')\n", largest, worst)))
      << passed;
  EXPECT_NE(passed.find("\nok      target_missed <= 0: 0\n"), std::string::npos) << passed;
  const std::string failed =
      fail({"check", report(), "--max-bias", "1e-9", "--min-norm-kept", "0.1", "--rule",
            "bias_kept <= 0"},
           report().string() + ": failed bias_after.max <= 1e-09; bias_kept <= 0");
  EXPECT_TRUE(failed.starts_with("FAILED  bias_after.max <= 1e-09: ")) << failed;
  EXPECT_NE(failed.find("\nok      norm_kept >= 0.1: "), std::string::npos) << failed;
  EXPECT_EQ(fail({"check", report(), "--max-bias", "0", "-q"},
                 report().string() + ": failed bias_after.max <= 0"),
            "");
}

TEST_F(Check, ComparesWithAnEarlierReport) {
  make_report({"--strength", "1", "--report", root_ / "golden.json"});
  const Arguments against = {"check", report(), "--against", root_ / "golden.json"};
  EXPECT_EQ(succeed(against).find("FAILED"), std::string::npos);
  make_report({"--strength", "0.99"});  // keeps a little more of everything
  const std::string failed =
      fail(against,
           report().string() +
               ": failed bias_after.max against the earlier; bias_after.mean against the earlier; "
               "bias_kept against the earlier; bias_after of each tensor against the earlier");
  EXPECT_NE(failed.find("\nok      norm_kept against the earlier: "), std::string::npos) << failed;
  succeed(joined(against, {"--tolerance", "5%", "-q"}));
}

TEST_F(Check, JudgesAnEvaluation) {
  make_pair();
  succeed({"evaluate", "--model", "a=" + base().string(), "--data", "keep=" + retain().string(),
           "--json", root_ / "scores.json", "-q", "--device", "cpu"});
  const Arguments check = {"check", root_ / "scores.json"};
  EXPECT_TRUE(succeed(joined(check, {"--max-perplexity", "keep=1e6", "--rule",
                                     "keep.exact_memorization >= 0"}))
                  .starts_with("ok      keep.perplexity <= 1000000: "));
  fail(joined(check, {"--max-perplexity", "keep=1", "-q"}),
       (root_ / "scores.json").string() + ": failed keep.perplexity <= 1");
  refuse(joined(check, {"--max-perplexity", "gone=1"}), 3,
         {"scores.json", "has no figure 'gone.perplexity'; it has keep."});
}

TEST_F(Check, WritesJunit) {
  make_report();
  write_file(root_ / "junit.xml", "an earlier one");
  fail({"check", report(), "--max-bias", "0", "--min-norm-kept", "0", "--junit",
        root_ / "junit.xml", "-q"},
       report().string() + ": failed bias_after.max <= 0");
  const std::string xml = read_file(root_ / "junit.xml");
  EXPECT_NE(xml.find("<testsuites tests=\"2\" failures=\"1\""), std::string::npos) << xml;
  EXPECT_NE(xml.find("name=\"bias_after.max &lt;= 0\"><failure message="), std::string::npos)
      << xml;
  const Arguments check = {"check", report(), "--max-bias", "1", "--junit"};
  refuse(joined(check, {report()}), 3, {"sagesan_report.json"});
  refuse(joined(check, {root_ / "missing" / "junit.xml"}), 4, {"no such directory"});
}

TEST_F(Check, UsageErrors) {
  write_file(root_ / "r.json", "{}");
  const Arguments check = {"check", root_ / "r.json"};
  refuse(check, 2, {"nothing to check"});
  refuse(joined(check, {"--max-bias", "low"}), 2, {"--max-bias: 'low' is no number"});
  refuse(joined(check, {"--max-bias", ""}), 2, {"--max-bias", "empty"});
  refuse(joined(check, {"--rule", "bias"}), 2, {"expected FIGURE <= X or FIGURE >= X"});
  refuse(joined(check, {"--rule", "0 <= bias >= 1"}), 2, {"expected FIGURE <= X or FIGURE >= X"});
  refuse(joined(check, {"--rule", "<= 1"}), 2, {"expected the name of a figure"});
  refuse(joined(check, {"--rule", "bias <= nan"}), 2, {"--rule: 'nan' is no number"});
  refuse(joined(check, {"--max-perplexity", "5"}), 2, {"expected NAME=X"});
  refuse(joined(check, {"--max-bias", "1", "--tolerance", "5%"}), 2, {"--against"});
  refuse(joined(check, {"--against", "r", "--tolerance", "5"}), 2, {"expected a percentage: 5%"});
  refuse(joined(check, {"--against", "r", "--tolerance", "-5%"}), 2, {"expected 0 to"});
  refuse({"check", "--max-bias", "1"}, 2, {"report is required"});
}

TEST_F(Check, WhatIsNoReport) {
  const auto refuse_text = [&](const std::string& text, const std::string& fragment) {
    write_file(root_ / "r.json", text);
    refuse({"check", root_ / "r.json", "--max-bias", "1"}, 3, {"r.json", fragment});
  };
  refuse_text("{", "JSON");
  refuse_text("[]", "expected a JSON object");
  refuse_text("{}", "is no report");
  refuse_text(R"({"schema_version": 9})", "found 9: this sagesan reads version 1");
  refuse_text(R"({"data": {}, "data": {}})", "data");
  refuse_text(R"({"data": {}})", "has no figure 'bias_after.max'; it has none");
  refuse({"check", root_ / "missing.json", "--max-bias", "1"}, 3, {"missing.json: no such file"});
}

TEST_F(Check, EveryReportReadsBackAsItWasWritten) {
  const std::vector<Arguments> runs = {{"--target-bias", "0.1", "--dtype", "bf16"},
                                       {"--method", "rollback"},
                                       {"--method", "nullspace", "--other", "base"},
                                       {"--shard-size", "50KB", "--long-texts", "split"}};
  for (const Arguments& more : runs) {
    const RunResult run = [&] {
      make_pair();
      return testing::run_program(sanitize(joined({"-q", "--overwrite"}, more)));
    }();
    ASSERT_EQ(run.code, 0) << run.err;
    const json written = json::parse(read_file(report()));
    EXPECT_EQ(read_sanitize_report(written, "r").report.to_json(), written);
  }
}

}  // namespace
}  // namespace sagesan
