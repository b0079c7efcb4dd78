// `report` and `sanitize --html`, through the program.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli/cli_fixture.h"
#include "report/report_testing.h"

namespace sagesan {
namespace {

using nlohmann::json;
using testing::Arguments;
using testing::joined;
using testing::read_file;
using testing::write_file;

class Report : public testing::CliTest {
 protected:
  std::filesystem::path page() const { return root_ / "page.html"; }
};

TEST_F(Report, SanitizeWritesThePageThatReportMakes) {
  make_pair();
  succeed(sanitize({"--html", page(), "-q"}));
  const std::string html = read_file(page());
  EXPECT_NE(html.find("<title>Sanitized LlamaForCausalLM (sage)</title>"), std::string::npos);
  EXPECT_NE(html.find("<td class=\"w\">model.layers.1.mlp.up_proj.weight</td>"), std::string::npos);
  EXPECT_EQ(html.find(root_.path().string()), std::string::npos);  // equal runs, equal pages
  const Arguments report = {"report", out() / "sagesan_report.json", "--html"};
  EXPECT_EQ(succeed(joined(report, {root_ / "again.html"})),
            "written to " + (root_ / "again.html").string() + "\n");
  EXPECT_EQ(read_file(root_ / "again.html"), html);
  succeed(sanitize({"--dry-run", "--overwrite", "--html", root_ / "dry.html", "-q"}));
  EXPECT_FALSE(std::filesystem::exists(root_ / "dry.html"));
}

TEST_F(Report, ShowsAnEvaluation) {
  write_file(root_ / "r.json", testing::sample_report().to_json().dump());
  write_file(root_ / "e.json", R"({"data": {"<keep>": {"perplexity": 4.5}}})");
  const Arguments report = {"report", root_ / "r.json", "--html", page()};
  succeed(joined(report, {"--metrics", root_ / "e.json", "-q"}));
  const std::string html = read_file(page());
  EXPECT_NE(html.find("<td>&lt;keep&gt;</td><td class=\"w\">perplexity ↓</td>"), std::string::npos);
  write_file(root_ / "e.json", "[]");
  refuse(joined(report, {"--metrics", root_ / "e.json"}), 3, {"e.json", "a JSON object"});
  refuse(joined(report, {"--metrics", page()}), 3, {"page.html"});
}

TEST_F(Report, WhatIsRefused) {
  write_file(root_ / "r.json", testing::sample_report().to_json().dump());
  refuse({"report", root_ / "r.json"}, 2, {"--html is required"});
  refuse({"report", root_ / "r.json", "--html", ""}, 2, {"--html"});
  refuse({"report", root_ / "r.json", "--html", root_ / "r.json"}, 3, {"r.json"});
  refuse({"report", root_ / "r.json", "--html", root_ / "none" / "p.html"}, 4,
         {"no such directory"});
  refuse({"report", root_ / "none.json", "--html", page()}, 3, {"none.json: no such file"});
  write_file(root_ / "r.json", R"({"schema_version": 7})");
  refuse({"report", root_ / "r.json", "--html", page()}, 3, {"r.json", "reads version 1"});
}

TEST_F(Report, ThePlaceOfThePageIsCheckedFirst) {
  make_pair();
  refuse(sanitize({"--html", retain()}), 3, {retain().string()});
  refuse(sanitize({"--html", base() / "config.json"}), 3, {"config.json"});
  refuse(sanitize({"--html", out() / "page.html"}), 3, {"page.html", out().string()});
  refuse(sanitize({"--html", root_ / "none" / "p.html"}), 4, {"no such directory"});
  refuse(sanitize({"--html", page(), "--report", page()}), 3, {"page.html"});
  refuse(sanitize({"--html", ""}), 2, {"--html"});
}

}  // namespace
}  // namespace sagesan
