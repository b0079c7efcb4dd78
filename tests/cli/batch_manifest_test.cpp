// What a manifest may say. Nothing of it is run before all of it is right.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli/batch_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::read_file;
using testing::write_file;

class BatchManifest : public testing::BatchTest {
 protected:
  void refuse_manifest(const std::string& text, int code,
                       const std::vector<std::string>& fragments) {
    write_file(manifest(), text);
    std::vector<std::string> all = fragments;
    all.push_back(manifest().string());
    refuse(batch(), code, all);
  }
  /// A job with this option more must be refused with one line.
  void refuse_option(const json& more, const std::string& message) {
    write_manifest({job("a"), job("b", more)});
    refuse(batch(), 2, {"sagesan: error: job b: " + message + "\n"});
  }
  json options(const std::string& name) const {
    return json::parse(read_file(clean(name) / "sagesan_report.json"))["options"];
  }
};

TEST_F(BatchManifest, WhatIsNoManifestIsRefused) {
  refuse({"batch"}, 2, {"manifest is required"});
  refuse({"batch", root_ / "gone.json"}, 3, {"gone.json: no such file"});
  refuse_manifest("{\"jobs\": [}", 3, {});
  refuse_manifest("{\"jobs\": [], \"jobs\": []}", 3, {"'jobs' stands twice"});
  refuse_manifest("[]", 3, {"object"});
  refuse_manifest("{}", 3, {"'jobs': missing"});
  refuse_manifest("{\"jobs\": []}", 3, {"'jobs': expected a list of jobs"});
  refuse_manifest("{\"jobs\": {}}", 3, {"'jobs': expected a list of jobs"});
  refuse_manifest("{\"jobs\": [1]}", 3, {"job 1: expected an object"});
  refuse_manifest("{\"jobs\": [{}], \"default\": {}}", 3, {"'default': unknown key"});
  refuse_manifest("{\"jobs\": [{}], \"defaults\": 1}", 3, {"'defaults': expected an object"});
}

// The system would end the name there, and use another file than the one that was checked.
TEST_F(BatchManifest, NulEndsNoName) {
  const std::string nul("retain.jsonl\0x", 14);
  for (const char* option : {"html", "report", "unlearned", "out"}) {
    SCOPED_TRACE(option);
    write_manifest(job("a", {{option, nul}}));
    refuse(batch(), 2, {"NUL in the name"});
  }
  write_manifest(job("a", {{"retain", {nul}}}));
  refuse(batch(), 2, {"NUL in the name"});
}

TEST_F(BatchManifest, HasAMostOfJobs) {
  std::string jobs;
  for (int i = 0; i < 10'001; ++i) jobs += jobs.empty() ? "{}" : ",{}";
  refuse_manifest("{\"jobs\": [" + jobs + "]}", 3, {"10001 jobs; at most 10000 in one manifest"});
}

TEST_F(BatchManifest, OptionsAreCheckedAsTheCommandLines) {
  refuse_option({{"stregth", 1}}, "unknown option 'stregth'; did you mean strength?");
  refuse_option({{"help", true}}, "unknown option 'help'");
  refuse_option({{"strength", -1}}, "--strength -1: expected 0 to 1000000000000");
  refuse_option({{"strength", "1"}}, "strength: expected a number");
  refuse_option({{"max-length", 1.0}}, "--max-length: '1.0' is no whole number");
  refuse_option({{"energy", 0}}, "--energy 0: expected a number above 0, at most 1");
  refuse_option(
      {{"method", "sagee"}},
      "--method 'sagee': expected one of sage, ridge, nullspace, scale, random, rollback, "
      "forget-aware");
  refuse_option({{"include", {1}}}, "include: expected a string");
  refuse_option({{"method", {"sage"}}}, "method: expected one value, found a list");
  refuse_option({{"chat-template", "true"}}, "chat-template: expected true or false");
  refuse_option({{"retain-template", ""}}, "--retain-template: the name is empty");
  refuse_option({{"unlearned", ""}}, "--unlearned: the name is empty");
  refuse_option({{"unlearned", nullptr}}, "--unlearned is required");
  refuse_option({{"retain", nullptr}}, "--retain is required (or --moments; see --help)");
  refuse_option({{"retain", json::array()}}, "--retain is required (or --moments; see --help)");
  refuse_option({{"share", 0.5}}, "--share goes with --method rollback alone");
  refuse_option({{"strength", 1}, {"target-bias", 0.5}},
                "--target-bias and --strength cannot be given together");
  refuse_option({{"method", "ridge"}, {"energy", 0.5}},
                "--method ridge takes no --energy: it uses every direction");
  refuse_option({{"threads", 1}}, "threads counts for all jobs: sagesan batch --threads");
  refuse_option({{"profile", true}}, "profile counts for all jobs: sagesan batch --profile");
  refuse_option({{"overwrite", true}}, "overwrite counts for all jobs: sagesan batch --overwrite");
  write_manifest({job("a"), job("b", {{"name", 1}})});
  refuse(batch(), 2, {"job clean_b: name: expected a string that is not empty"});
}

TEST_F(BatchManifest, EveryProblemIsListed) {
  write_manifest({job("a", {{"strength", -1}}),
                  job("b"),
                  job("c", {{"enrgy", 1}}),
                  {{"out", "d"}},
                  {{"unlearned", "a"}}});
  const std::string errors = refuse_lines(batch(), 2, 4);
  for (const char* line : {"job a: --strength -1", "job c: unknown option 'enrgy'",
                           "job d: --unlearned is required", "job 5: --out is required"})
    EXPECT_NE(errors.find(line), std::string::npos) << errors;
}

TEST_F(BatchManifest, DefaultsAreCheckedOnce) {
  for (const json& defaults : {json{{"stregth", 1}}, {{"strength", "1"}}, {{"out", "o"}}}) {
    write_manifest({job("a"), job("b")}, defaults);
    refuse(batch(), 2, {"sagesan: error: defaults: "});
  }
}

TEST_F(BatchManifest, AJobsOwnWordWinsOverTheDefaultsAndTheirOpposites) {
  write_manifest({job("a", {{"strength", 3}, {"include", {"mlp"}}}),
                  job("b", {{"target-bias", 0.5}, {"retain", "other.jsonl"}}),
                  job("c", {{"strength", nullptr}, {"method", "ridge"}})},
                 {{"strength", 2}, {"energy", 0.9}, {"include", {"norm", "attn"}}});
  run(0);
  EXPECT_EQ(options("a")["strength"], 3);
  EXPECT_EQ(options("a")["include"], json({"mlp"}));
  EXPECT_EQ(options("a")["energy"], 0.9);
  EXPECT_EQ(options("b")["strength"], nullptr);
  EXPECT_EQ(options("b")["target_bias"], 0.5);
  EXPECT_EQ(options("b")["include"], json({"norm", "attn"}));
  EXPECT_EQ(options("c")["strength"], 1);
  EXPECT_EQ(options("c")["energy"], 1);
}

TEST_F(BatchManifest, NamesAndOutputsAreUnique) {
  write_manifest({job("a"), job("b", {{"name", "a"}})});
  refuse(batch(), 2, {"job a: another job has that name"});
  const auto same_out = [&](const std::string& out, const std::string& what) {
    write_manifest({job("a"), job("b", {{"out", out}})});
    refuse(batch(), 3, {"job b: --out ", "must lie outside " + what});
  };
  same_out("clean_a", "the output of job a");
  same_out("./clean_a/", "the output of job a");
  same_out(clean("a").string(), "the output of job a");
  same_out("clean_a/b", "the output of job a");
  same_out("a", "the unlearned checkpoint of job a");
  same_out("base/b", "the base of job a");
  same_out("batch.json", manifest().string());
  fs::create_directory_symlink(root_ / "clean_a", root_ / "link");
  fs::create_directory(clean("a"));
  same_out("link", "the output of job a");
  write_manifest({job("a"), job("b", {{"report", "retain.jsonl"}})});
  refuse(batch(), 3, {"job b: --report ", "must lie outside a retain file of job a"});
  write_manifest({job("a", {{"report", "a.html"}}), job("b", {{"html", "a.html"}})});
  refuse(batch(), 3, {"job b: --html ", "must lie outside the report of job a"});
  write_manifest({job("a"), job("b", {{"out", "sub/b"}})});
  refuse(batch({"--summary", root_ / "sub"}), 3, {"must lie outside " + (root_ / "sub").string()});
  write_manifest({job("a"), job("b")});
  refuse(batch({"--summary", retain()}), 3, {retain().string(), "must lie outside"});
  refuse(batch({"--summary", root_ / "gone/s.json"}), 4, {"no such directory"});
  refuse(batch({"--summary", ""}), 2, {"--summary: the name is empty"});
}

TEST_F(BatchManifest, FileNamesAreRelativeToTheManifest) {
  json unnamed = job("a", {{"report", "a.json"}});
  unnamed.erase("name");
  write_manifest(unnamed);
  EXPECT_EQ(run(0)["jobs"][0]["name"], "clean_a");
  EXPECT_TRUE(fs::exists(root_ / "a.json"));
  // A template is a name or a file.
  write_manifest(job("b", {{"retain-template", "my.template"}}));
  run(3);
  EXPECT_NE(errors_.find((root_ / "my.template").string() + ": no such file"), std::string::npos)
      << errors_;
  write_manifest(job("b", {{"retain-template", "plain"}}));
  run(3);
  EXPECT_EQ(errors_.find("no such file"), std::string::npos) << errors_;
}

TEST_F(BatchManifest, HostileNamesAreEscaped) {
  write_manifest({job("a", {{"name", "\x1b[31m"}, {"unlearned", "gone"}})});
  const testing::RunResult result = testing::run_program(batch());
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ((result.err + result.out).find('\x1b'), std::string::npos);
  EXPECT_NE(result.out.find("\\u{1b}[31m"), std::string::npos) << result.out;
}

}  // namespace
}  // namespace sagesan
