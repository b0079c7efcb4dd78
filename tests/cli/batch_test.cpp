// `batch`: what it makes, shares, skips and goes on after.
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli/batch_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::Arguments;
using testing::read_file;
using testing::RunResult;
using testing::snapshot;
using testing::Words;
using testing::write_file;
using Batch = testing::BatchTest;

TEST_F(Batch, EveryJobComesOutAsAlone) {
  write_manifest({job("a"), job("b", {{"method", "ridge"}, {"strength", 5}}),
                  job("c", {{"target-bias", 0.2}, {"include", {"mlp", "lm_head"}}})},
                 {{"max-length", 15}});
  const json summary = run(0);
  EXPECT_EQ(statuses(summary), (Words{"done", "done", "done"}));
  const Arguments texts = {"--retain", retain(), "--max-length", "15"};
  expect_as_alone("a", texts);
  expect_as_alone("b", testing::joined(texts, {"--method", "ridge", "--strength", "5"}));
  expect_as_alone("c", testing::joined(texts, {"--target-bias", "0.2", "--include", "mlp",
                                               "--include", "lm_head"}));
  EXPECT_FALSE(fs::exists(root_ / ".batch.json.moments"));
  const json report = json::parse(read_file(clean("a") / "sagesan_report.json"));
  const json& first = summary["jobs"][0];
  EXPECT_EQ(first["changed_tensors"], report["summary"]["changed"]);
  EXPECT_EQ(first["kept_bias"], report["summary"]["linear_kept_bias"]);
  EXPECT_EQ(first["kept_norm"], report["summary"]["kept_update_norm"]);
  EXPECT_EQ(summary["counts"], json({{"done", 3}, {"skipped", 0}, {"failed", 0}, {"pending", 0}}));
}

TEST_F(Batch, MomentsAreSharedByJobsOfTheSameTexts) {
  write_manifest({job("a"), job("b", {{"retain", "other.jsonl"}}), job("c", {{"energy", 0.5}})});
  run(0, {"--keep-moments"});
  const auto layers = [&](const std::string& name) {
    return json::parse(read_file(clean(name) / "sagesan_report.json"))["layers_run"];
  };
  EXPECT_EQ(layers("a"), 0);
  EXPECT_EQ(layers("b"), 2);  // alone with its texts
  EXPECT_EQ(layers("c"), 0);
  expect_as_alone("b", {"--retain", root_ / "other.jsonl"});
  EXPECT_EQ(snapshot(root_ / ".batch.json.moments").size(), 1U);
}

TEST_F(Batch, TextsReadInAnotherWayAreNotShared) {
  const std::vector<json> ways = {json::object(),
                                  {{"max-length", 15}},
                                  {{"max-length", 15}, {"long-texts", "split"}},
                                  {{"max-tokens", 50}},
                                  {{"token-cap", 2}},
                                  {{"retain", {"retain.jsonl", "other.jsonl"}}},
                                  {{"retain", {"other.jsonl", "retain.jsonl"}}},
                                  {{"base", "again"}}};
  fs::copy(base(), root_ / "again");
  json jobs = json::array();
  for (const json& way : ways) {
    const std::string name = std::to_string(jobs.size());
    jobs.push_back(job("a", way));
    jobs.back().update({{"name", name}, {"out", "clean_" + name}});
  }
  write_manifest(jobs);
  run(0);
  for (size_t i = 0; i < ways.size(); ++i) {
    const fs::path report = clean(std::to_string(i)) / "sagesan_report.json";
    EXPECT_EQ(json::parse(read_file(report))["layers_run"], 2) << ways[i];
  }
}

TEST_F(Batch, WhatTheUnlearnedModelRunsIsNotShared) {
  write_manifest({job("a"), job("b")}, {{"activations", "unlearned"}});
  run(0, {"--keep-moments"});
  EXPECT_FALSE(fs::exists(root_ / ".batch.json.moments"));
  expect_as_alone("b", {"--retain", retain(), "--activations", "unlearned"});
}

TEST_F(Batch, GivenMomentsAreUsed) {
  succeed({"collect", "--base", base(), "--retain", retain(), "--out", root_ / "m.safetensors",
           "--device", "cpu", "--threads", "1", "-q"});
  write_manifest({job("a", {{"retain", nullptr}, {"moments", "m.safetensors"}}), job("b")});
  run(0);
  expect_as_alone("a", {"--moments", root_ / "m.safetensors"});
  EXPECT_EQ(statuses(run(0)), (Words{"skipped", "skipped"}));
}

TEST_F(Batch, KeptMomentsAreUsedAgainOnlyWhereNothingChanged) {
  const json jobs = {job("a"), job("b")};
  const auto cached = [&] { return snapshot(root_ / "cache"); };
  const Arguments keep = {"--cache", root_ / "cache", "--keep-moments", "--overwrite"};
  write_manifest(jobs);
  run(0, keep);
  const auto first = cached();
  ASSERT_EQ(first.size(), 1U);
  const fs::path file = root_ / "cache" / first.begin()->first;
  const auto made = fs::last_write_time(file);
  write_manifest(jobs, {{"strength", 2}});
  run(0, keep);
  EXPECT_EQ(fs::last_write_time(file), made);

  // Other texts: another file. A damaged one is collected again.
  write_manifest(jobs, {{"max-tokens", 50}});
  run(0, keep);
  EXPECT_EQ(cached().size(), 2U);
  write_file(file, first.begin()->second.substr(0, 1000));
  write_manifest(jobs);
  run(0, keep);
  EXPECT_TRUE(read_file(file) == first.begin()->second);

  const std::string texts = read_file(retain());
  write_file(retain(), texts.substr(0, texts.find('\n') + 1));
  run(0, keep);
  EXPECT_EQ(cached().size(), 3U);
  write_file(retain(), texts);

  // Without --keep-moments only those that these jobs need go.
  write_manifest(jobs, {{"strength", 3}});
  run(0, {"--cache", root_ / "cache", "--overwrite"});
  EXPECT_EQ(cached().size(), 2U);
  EXPECT_FALSE(fs::exists(file));
}

TEST_F(Batch, ConfigurationsBelongToTheMoments) {
  write_manifest({job("a"), job("b")});
  const Arguments keep = {"--cache", root_ / "cache", "--keep-moments", "--overwrite"};
  run(0, keep);
  edit_config(base(), [](json& config) { config["rope_theta"] = 500.0; });
  write_manifest({job("a"), job("b")}, {{"strength", 2}});
  run(0, keep);
  EXPECT_EQ(snapshot(root_ / "cache").size(), 2U);
  expect_as_alone("a", {"--retain", retain(), "--strength", "2"});
}

TEST_F(Batch, GoesOnAfterAFailure) {
  write_manifest({job("gone"), job("a"), job("b", {{"device", "gpu"}}), job("c")});
  const Arguments arguments = {"batch", manifest(), "--threads", "1", "--json"};
  const RunResult result = testing::run_program(arguments);
  EXPECT_EQ(result.code, 3) << result.err;
  const json summary = json::parse(result.out);
  EXPECT_EQ(statuses(summary), (Words{"failed", "done", "failed", "done"}));
  EXPECT_EQ(summary["exit_code"], 3);
  EXPECT_EQ(summary["jobs"][0]["exit_code"], 3);
  EXPECT_EQ(summary["jobs"][2]["exit_code"], 2);
  for (const char* line :
       {"sagesan: error: job gone: ", "sagesan: error: job b: --device 'gpu'",
        "sagesan: error: 2 of 4 jobs failed\n", "sagesan: info: job a (2 of 4): done\n"})
    EXPECT_NE(result.err.find(line), std::string::npos) << line << result.err;
}

TEST_F(Batch, TheWorstClassDecides) {
  fs::create_directory(root_ / "bad");
  write_file(root_ / "bad/model.safetensors", "no weights");
  const auto code_of = [&](const json& jobs) {
    write_manifest(jobs);
    return testing::run_program({"batch", manifest(), "-q"}).code;
  };
  const json unusable = job("b", {{"device", "gpu"}});
  EXPECT_EQ(code_of({job("a"), unusable}), 2);
  EXPECT_EQ(code_of({unusable, job("a"), job("bad")}), 3);
  EXPECT_EQ(code_of({job("bad"), unusable, job("c", {{"out", "missing/c"}})}), 4);
}

TEST_F(Batch, ATroubleOfTheSharedTextsFailsEachOfTheirJobs) {
  write_manifest({job("a"), job("b"), job("c", {{"retain", "other.jsonl"}})});
  write_file(retain(), "{\"text\": 1}\n");
  const json summary = run(3);
  EXPECT_EQ(statuses(summary), (Words{"failed", "failed", "done"}));
  EXPECT_FALSE(fs::exists(root_ / ".batch.json.moments"));
}

TEST_F(Batch, AnEntryThatIsNoDirectoryForMomentsFailsTheirJobsAlone) {
  write_manifest({job("a"), job("b"), job("c", {{"retain", "other.jsonl"}})});
  write_file(root_ / "file", "");
  const json summary = run(4, {"--cache", root_ / "file"});
  EXPECT_EQ(statuses(summary), (Words{"failed", "failed", "done"}));
  EXPECT_NE(errors_.find("choose another --cache"), std::string::npos) << errors_;
}

TEST_F(Batch, TheTableSaysWhatHappened) {
  write_manifest({job("a"), job("b")});
  run(0, {"--summary", summary()});
  fs::remove_all(clean("b"));
  const RunResult result = testing::run_program(batch());
  EXPECT_EQ(result.code, 0) << result.err;
  const std::string lines = result.out;
  EXPECT_TRUE(lines.starts_with("job   status      changed  kept bias  kept norm   seconds\n"))
      << lines;
  EXPECT_NE(lines.find("\na     skipped          21"), std::string::npos) << lines;
  EXPECT_NE(lines.find("\nb     done             21"), std::string::npos) << lines;
  EXPECT_EQ(result.err,
            "sagesan: info: job a (1 of 2): skipped\n"
            "sagesan: info: collecting the moments that 2 jobs share from " +
                base().string() +
                "\nsagesan: info: job b (2 of 2): begins\nsagesan: info: job b (2 of 2): done\n");
  EXPECT_EQ(succeed(batch({"-q"})), "");
}

TEST_F(Batch, TheSummaryDependsOnTimeOnlyWhereItSaysSo) {
  write_manifest({job("a"), job("gone")});
  const auto without_seconds = [](json summary) {
    summary.erase("seconds");
    for (json& job : summary["jobs"]) job.erase("seconds");
    return summary;
  };
  const json printed = run(3, {"--summary", summary()});
  const json first = without_seconds(json::parse(read_file(summary())));
  EXPECT_EQ(without_seconds(printed), first);
  fs::remove_all(clean("a"));
  EXPECT_EQ(without_seconds(run(3)), first);
}

TEST_F(Batch, TheReadyManifestRuns) {
  testing::TinyModel model;
  for (const char* name : {"ga", "npo"}) testing::make_unlearned(root_ / name, model);
  fs::copy(SAGESAN_SOURCE_DIR "/configs/batch.json", manifest());
  EXPECT_EQ(statuses(run(0)), (Words{"done", "done", "done"}));
  EXPECT_TRUE(fs::exists(root_ / "npo_tenth/model.safetensors"));
}

TEST_F(Batch, DryRunChangesNothing) {
  write_manifest({job("a"), job("b"), job("gone")});
  const auto before = snapshot(root_.path());
  const json plan = run(3, {"--dry-run", "--summary", summary()});
  EXPECT_EQ(statuses(plan), (Words{"would run", "would run", "failed"}));
  EXPECT_TRUE(snapshot(root_.path()) == before);
  EXPECT_EQ(plan["jobs"][0]["kept_bias"], nullptr);
  run(3);
  EXPECT_EQ(statuses(run(3, {"--dry-run"})), (Words{"would skip", "would skip", "failed"}));
  write_manifest({job("a", {{"strength", 2}}), job("b")});
  EXPECT_EQ(statuses(run(3, {"--dry-run"})), (Words{"failed", "would skip"}));
  EXPECT_EQ(statuses(run(0, {"--dry-run", "--overwrite"})), (Words{"would run", "would skip"}));
}

TEST_F(Batch, TheFolderOfTheMomentsIsCheckedBeforeAnythingRuns) {
  write_manifest({job("a"), job("b")});
  for (const Arguments& more : {Arguments{}, Arguments{"--dry-run"}}) {
    const json summary = run(3, testing::joined({"--cache", base() / "moments"}, more));
    EXPECT_EQ(statuses(summary), (Words{"pending", "pending"}));
    EXPECT_NE(errors_.find("must lie outside"), std::string::npos) << errors_;
  }
  if (::geteuid() == 0) return;  // who may write everywhere
  fs::permissions(root_.path(), fs::perms::owner_read | fs::perms::owner_exec);
  const json summary = run(4, {"--dry-run", "--cache", root_ / "moments"});
  fs::permissions(root_.path(), fs::perms::owner_all);
  EXPECT_EQ(statuses(summary), (Words{"failed", "failed"}));
}

TEST_F(Batch, BareNamesAreOfTheCurrentDirectory) {
  write_manifest({job("a"), job("b")});
  const RunResult run = testing::run_program(
      {"batch", "batch.json", "--cache", "moments", "--device", "cpu", "-q"}, [this] {
        if (::chdir(root_.path().c_str()) != 0) ::_exit(126);
      });
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(fs::exists(clean("b") / "model.safetensors"));
}

TEST_F(Batch, AnUnreadableInputFailsItsOwnJobAlone) {
  fs::create_symlink("loop", root_ / "loop");
  write_manifest({job("a", {{"unlearned", "loop"}}), job("b"), job("c")});
  const json summary = run(4);
  EXPECT_EQ(statuses(summary), (Words{"failed", "done", "done"})) << errors_;
  EXPECT_NE(errors_.find("loop/adapter_config.json: Too many levels"), std::string::npos)
      << errors_;
}

}  // namespace
}  // namespace sagesan
