// What `batch` takes for done, and what it does not.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <nlohmann/json.hpp>
#include <string>

#include "cli/batch_fixture.h"
#include "helpers/adapter_files.h"
#include "sagesan/support/file.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::read_file;
using testing::snapshot;
using testing::Words;
using testing::write_file;

class BatchSkip : public testing::BatchTest {
 protected:
  void SetUp() override {
    write_manifest({job("a"), job("b")});
    run(0);
  }
  /// Job a must now be refused for `reason`, and made again with --overwrite; b is done.
  void expect_different(const std::string& reason) {
    const auto before = snapshot(clean("a"));
    EXPECT_EQ(statuses(run(3)), (Words{"failed", "skipped"})) << reason;
    const std::string line = "job a: " + clean("a").string() + ": exists already, but " + reason;
    EXPECT_NE(errors_.find(line), std::string::npos) << errors_;
    EXPECT_TRUE(snapshot(clean("a")) == before);
    EXPECT_EQ(statuses(run(0, {"--overwrite"})), (Words{"done", "skipped"})) << reason;
  }
};

TEST_F(BatchSkip, TheSameIsSkippedAndLeftAsItIs) {
  const auto before = snapshot(root_.path());
  const json summary = run(0);
  EXPECT_EQ(statuses(summary), (Words{"skipped", "skipped"}));
  EXPECT_GT(summary["jobs"][0]["kept_bias"], 0);
  EXPECT_EQ(statuses(run(0, {"--overwrite"})), (Words{"skipped", "skipped"}));
  EXPECT_TRUE(snapshot(root_.path()) == before);
}

TEST_F(BatchSkip, EveryOptionThatDecidesTheResultCounts) {
  const std::vector<std::pair<json, std::string>> cases = {
      {{{"strength", 2}, {"carrier-gain", 1.5}}, "another strength"},
      {{{"target-bias", 0.5}, {"carrier-gain", 1.5}}, "another strength"},
      {{{"carrier-gain", 2}}, "another carrier_gain"},
      {{{"energy", 0.5}}, "another energy"},
      {{{"method", "random"}}, "another method"},
      {{{"other", "keep"}}, "another other"},
      {{{"include", {"mlp"}}}, "another include"},
      {{{"exclude", {"norm"}}}, "another exclude"},
      {{{"activations", "unlearned"}}, "another activations"},
      {{{"token-cap", 2}}, "another token_cap"},
      {{{"max-length", 100}}, "another max_length"},
      {{{"long-texts", "split"}}, "another long_texts"},
      {{{"max-tokens", 50}}, "it was made with other texts"},
      {{{"retain", "other.jsonl"}}, "it was made with other texts"},
      {{{"dtype", "bf16"}}, "another dtype"},
      {{{"out-format", "delta"}}, "another out_format"},
      {{{"shard-size", "20KiB"}}, "another shard_size"}};
  json jobs = json::array();
  for (const auto& [change, reason] : cases) {
    json changed = job("a", change);
    changed["name"] = std::to_string(jobs.size());
    changed["out"] = "copy_" + std::to_string(jobs.size());
    fs::copy(clean("a"), root_ / changed["out"].get<std::string>());
    jobs.push_back(changed);
  }
  write_manifest(jobs);
  const json summary = run(3);
  for (size_t i = 0; i < cases.size(); ++i) {
    const json& done = summary["jobs"][i];
    EXPECT_EQ(done["status"], "failed") << cases[i].second;
    EXPECT_NE(done["error"].dump().find(cases[i].second), std::string::npos) << done["error"];
  }
  write_manifest({job("a", {{"method", "rollback"}, {"share", 0.2}}), job("b")});
  expect_different("it was made with another ");
  write_manifest({job("a", {{"method", "rollback"}, {"share", 0.3}}), job("b")});
  expect_different("it was made with another share");
  write_manifest({job("a"), job("b")});
  expect_different("it was made with ");
}

TEST_F(BatchSkip, TheInputsCount) {
  testing::TinyModel model;
  model.noise = 0.3;
  testing::make_unlearned(root_ / "a", model);
  expect_different("it was made of another unlearned checkpoint");
  write_file(retain(), testing::tiny_records(6, 20, model.vocabulary));
  EXPECT_EQ(statuses(run(3)), (Words{"failed", "failed"}));
  EXPECT_EQ(statuses(run(0, {"--overwrite"})), (Words{"done", "done"}));
  model.seed = 5;
  testing::make_base(base(), model);
  EXPECT_EQ(statuses(run(3)), (Words{"failed", "failed"}));
  EXPECT_NE(errors_.find("it was made of another base"), std::string::npos) << errors_;
}

TEST_F(BatchSkip, AdaptersCountWithTheirConfigurations) {
  const testing::TinyModel model;
  for (const char* name : {"low", "more"}) {
    testing::write_adapter_files(
        root_ / name, testing::adapter_configuration(),
        testing::lora_pair("model.layers.0.mlp.up_proj", 2, model.hidden, model.intermediate));
  }
  write_manifest(
      {job("a", {{"unlearned", "low"}, {"out", "sum"}, {"add-adapter", {"more"}}}),
       job("b", {{"unlearned", "low"}, {"out", "low_clean"}, {"out-format", "adapter"}})});
  EXPECT_EQ(statuses(run(0)), (Words{"done", "done"})) << errors_;
  EXPECT_EQ(statuses(run(0)), (Words{"skipped", "skipped"})) << errors_;
  write_file(root_ / "more/adapter_config.json", testing::adapter_configuration(2, 5).dump());
  EXPECT_EQ(statuses(run(3)), (Words{"failed", "skipped"}));
  EXPECT_NE(errors_.find("it was made of another unlearned checkpoint"), std::string::npos)
      << errors_;
}

TEST_F(BatchSkip, TheConfigurationOfTheBaseCounts) {
  json config = json::parse(read_file(base() / "config.json"));
  config["rms_norm_eps"] = 0.5;
  write_file(base() / "config.json", config.dump());
  EXPECT_EQ(statuses(run(3)), (Words{"failed", "failed"}));
  EXPECT_NE(errors_.find("the base had another configuration or tokenizer"), std::string::npos)
      << errors_;
}

TEST_F(BatchSkip, DamagedOutputsAreNotTakenForDone) {
  const std::string config = read_file(clean("a") / "config.json");
  fs::remove(clean("a") / "config.json");
  expect_different("it lacks config.json");
  write_file(clean("a") / "config.json", config);
  const fs::path weights = clean("a") / "model.safetensors";
  write_file(weights, read_file(weights).substr(0, 5000));
  expect_different("its weights are damaged: ");
  fs::remove(weights);
  expect_different("it holds no weights");
  const fs::path report = clean("a") / "sagesan_report.json";
  json edited = json::parse(read_file(report));
  edited["tool"]["version"] = "0.0.1";
  write_file(report, edited.dump());
  expect_different("another version of sagesan made it");
  write_file(report, "{}");
  expect_different("another version of sagesan made it");
  write_file(report, "{");
  expect_different("its report is damaged");
}

TEST_F(BatchSkip, DamagedReportsAreNotTakenForDoneByASearchEither) {
  json searched = job("a");
  searched.update({{"auto", true}, {"forget", {"other.jsonl"}}});
  write_manifest({searched});
  const fs::path report = clean("a") / "sagesan_report.json";
  json edited = json::parse(read_file(report));
  for (const json& options : {json(nullptr), json(1), json::array()}) {
    edited["options"] = options;
    write_file(report, edited.dump());
    EXPECT_EQ(statuses(run(3)), Words{"failed"});
    EXPECT_NE(errors_.find("exists already, but its report is damaged"), std::string::npos)
        << errors_;
  }
}

TEST_F(BatchSkip, WhatIsNoOutputIsNeverReplaced) {
  fs::remove(clean("a") / "sagesan_report.json");
  for (const testing::Arguments& more : {testing::Arguments{}, {"--overwrite"}}) {
    const auto before = snapshot(clean("a"));
    EXPECT_EQ(statuses(run(3, more)), (Words{"failed", "skipped"}));
    EXPECT_TRUE(snapshot(clean("a")) == before);
  }
  EXPECT_NE(errors_.find("exists already and is not replaced: it holds no sagesan_report.json"),
            std::string::npos)
      << errors_;
}

TEST_F(BatchSkip, ALostSecondReportIsWrittenAgain) {
  write_manifest({job("a", {{"report", "a.json"}, {"html", "a.html"}}), job("b")});
  EXPECT_EQ(statuses(run(0)), (Words{"skipped", "skipped"}));
  EXPECT_EQ(read_file(root_ / "a.json"), read_file(clean("a") / "sagesan_report.json"));
  EXPECT_TRUE(read_file(root_ / "a.html").starts_with("<!DOCTYPE html>"));
  // Killed before it replaced an equal one.
  testing::Program ended({"--version"});
  ended.wait();
  const fs::path left = root_ / ("a.json." + std::to_string(ended.pid()) + ".0.partial");
  write_file(left, "half");
  run(0);
  EXPECT_FALSE(fs::exists(left));
}

TEST_F(BatchSkip, AStrangersFilesInTheMomentsFolderStay) {
  const fs::path cache = root_ / ".batch.json.moments";
  fs::create_directory(cache);
  write_file(cache / "mine.safetensors", "1");
  write_file(cache / (std::string(32, 'a') + ".txt"), "2");
  const auto before = snapshot(cache);
  run(0);
  EXPECT_TRUE(snapshot(cache) == before);
}

TEST_F(BatchSkip, AFolderThatIsNotNeededMayBeInUse) {
  fs::create_directory(root_ / "cache");
  const FileDescriptor other(::open((root_ / "cache").c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_EQ(::flock(other.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(statuses(run(0, {"--cache", root_ / "cache"})), (Words{"skipped", "skipped"}));
}

TEST_F(BatchSkip, FiguresOfAStrangersReportAreNotTakenOver) {
  const fs::path report = clean("a") / "sagesan_report.json";
  json edited = json::parse(read_file(report));
  edited["summary"]["changed"] = 1e300;
  write_file(report, edited.dump(1));
  const json summary = run(0);
  EXPECT_EQ(summary["jobs"][0]["status"], "skipped");
  EXPECT_TRUE(summary["jobs"][0]["changed_tensors"].is_null()) << summary["jobs"][0];
}

TEST_F(BatchSkip, TwoBatchesDoNotShareAFolder) {
  const fs::path cache = root_ / "cache";
  fs::create_directory(cache);
  const FileDescriptor lock(::open(cache.c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
  fs::remove_all(clean("a"));
  EXPECT_EQ(statuses(run(4, {"--cache", cache})), (Words{"failed", "skipped"}));
  EXPECT_NE(errors_.find("another batch is using it"), std::string::npos) << errors_;
}

TEST_F(BatchSkip, LeftoversBesideWhatIsDoneAreRemoved) {
  // As a run killed between the exchange with an old output and its removal leaves it.
  fs::create_directory(root_ / ".clean_a.partial");
  write_file(root_ / ".clean_a.partial/old", "old");
  // As one killed while it moved the old output away by plain renames.
  fs::rename(clean("b"), root_ / ".clean_b.old.partial");
  // And moments that were wanted once.
  const fs::path cache = root_ / ".batch.json.moments";
  fs::create_directory(cache);
  write_file(cache / (std::string(32, 'a') + ".safetensors"), "");
  write_file(cache / (std::string(32, 'b') + ".safetensors.1.0.partial"), "");
  const testing::RunResult result = testing::run_program(batch());
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_FALSE(fs::exists(cache));
  EXPECT_NE(result.err.find("job a: removing what a killed run left: "), std::string::npos)
      << result.err;
  EXPECT_FALSE(fs::exists(root_ / ".clean_a.partial"));
  EXPECT_FALSE(fs::exists(root_ / ".clean_b.old.partial"));
  EXPECT_TRUE(fs::exists(clean("b") / "model.safetensors"));
}

}  // namespace
}  // namespace sagesan
