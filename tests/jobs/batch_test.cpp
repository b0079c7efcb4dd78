// What a batch says at its end, and which outputs it refuses.
#include "sagesan/jobs/batch.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "helpers/files.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;

BatchResult result_of(const std::vector<BatchStatus>& statuses, const std::vector<int>& codes) {
  BatchResult result;
  for (size_t i = 0; i < statuses.size(); ++i) {
    result.jobs.push_back({.name = std::to_string(i), .status = statuses[i]});
    result.jobs.back().failure = {static_cast<ExitCode>(codes[i]), "why"};
  }
  return result;
}

TEST(BatchResult, TheExitCodeIsTheWorst) {
  using enum BatchStatus;
  const auto code = [](const BatchResult& result) { return static_cast<int>(result.exit_code()); };
  EXPECT_EQ(code(result_of({kDone, kSkipped}, {0, 0})), 0);
  EXPECT_EQ(code(result_of({kFailed, kDone}, {2, 0})), 2);
  EXPECT_EQ(code(result_of({kFailed, kFailed}, {2, 3})), 3);
  EXPECT_EQ(code(result_of({kFailed, kFailed, kFailed}, {4, 3, 2})), 4);
  EXPECT_EQ(code(result_of({kFailed, kFailed}, {4, 1})), 1);
  BatchResult result = result_of({kDone}, {0});
  result.other = Failure{ExitCode::kInputOutput, "no summary"};
  EXPECT_EQ(code(result), 4);
  result.interrupted = true;
  EXPECT_EQ(code(result), 130);
}

TEST(BatchResult, JsonSaysWhatEachJobCameTo) {
  BatchResult result = result_of({BatchStatus::kDone, BatchStatus::kFailed}, {0, 3});
  result.jobs[0].kept_bias = 0.5;
  result.jobs[0].out = "dir/\xff";
  const Json json = result.to_json();
  EXPECT_EQ(json["jobs"][0]["status"], "done");
  EXPECT_EQ(json["jobs"][0]["kept_bias"], 0.5);
  EXPECT_EQ(json["jobs"][0]["error"], nullptr);
  EXPECT_EQ(json["jobs"][1]["error"], "why");
  EXPECT_EQ(json["jobs"][1]["kept_bias"], nullptr);
  EXPECT_NO_THROW(json.dump());
  result.dry_run = true;
  EXPECT_EQ(result.to_json()["jobs"][0]["status"], "would run");
}

BatchJob job_of(const fs::path& root, const std::string& name) {
  return {
      .name = name,
      .options = {.base = root / "base", .unlearned = root / name, .out = root / ("out_" + name)}};
}

TEST(BatchOutputs, EveryOneThatMeetsAnotherPathIsNamed) {
  const testing::TemporaryDirectory root;
  std::vector<BatchJob> jobs;
  for (const char* name : {"a", "b", "c", "d"}) jobs.push_back(job_of(root.path(), name));
  EXPECT_NO_THROW(check_batch_outputs(jobs, {root / "manifest"}));
  jobs[1].options.out = root / "out_a" / "deep" / "b";
  jobs[2].options.out = root.path();  // holds everything
  jobs[3].options.report = root / "manifest";
  try {
    check_batch_outputs(jobs, {root / "manifest"});
    FAIL();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(error.code(), ExitCode::kBadInput);
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 3) << message;
    for (const std::string& line :
         {"job b: --out " + (root / "out_a/deep/b").string() +
              ": must lie outside the output of job a",
          "job c: --out " + root.path().string() + ": must lie outside ",
          "job d: --out " + (root / "out_d").string() + ": must lie outside the output of job c",
          "job d: --report " + (root / "manifest").string() + ": must lie outside "})
      EXPECT_NE(message.find(line), std::string::npos) << line << "\n" << message;
  }
}

}  // namespace
}  // namespace sagesan
