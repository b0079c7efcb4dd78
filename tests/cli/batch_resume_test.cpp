// A batch that is stopped, and run again. Kills: tests/faults/batch_kill_test.cpp.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "cli/batch_resume_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using std::chrono::milliseconds;
using testing::Arguments;
using testing::BatchResume;
using testing::joined;
using testing::Program;
using testing::read_file;
using testing::RunResult;
using testing::snapshot;
using testing::Words;

TEST_F(BatchResume, AnInterruptionKeepsWhatIsDone) {
  testing::TinyModel large;
  large.layers = 30;
  large.hidden = 64;
  large.intermediate = 128;
  testing::make_base(root_ / "large", large);
  testing::make_unlearned(root_ / "large_unlearned", large);
  testing::write_file(root_ / "long.jsonl", testing::tiny_records(100, 256, large.vocabulary));
  write_manifest(
      {job("a"),
       job("large",
           {{"base", "large"}, {"unlearned", "large_unlearned"}, {"retain", "long.jsonl"}}),
       job("b", {{"retain", "other.jsonl"}})});
  Program program(batch({"--json", "--summary", summary()}));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!fs::exists(root_ / ".clean_large.partial") && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(milliseconds(5));
  ASSERT_EQ(::kill(program.pid(), SIGTERM), 0);  // a background shell ignores SIGINT
  const RunResult stopped = program.wait();
  EXPECT_EQ(stopped.code, 130) << stopped.err;
  EXPECT_NE(stopped.err.find("sagesan: error: interrupted; 1 of 3 jobs are done, the same command "
                             "does the others\n"),
            std::string::npos)
      << stopped.err;
  const json printed = json::parse(stopped.out);
  EXPECT_EQ(printed, json::parse(read_file(summary())));
  EXPECT_EQ(printed["interrupted"], true);
  EXPECT_EQ(printed["exit_code"], 130);
  EXPECT_EQ(statuses(printed), (Words{"done", "pending", "pending"}));
  EXPECT_FALSE(fs::exists(root_ / ".clean_large.partial"));
  EXPECT_EQ(statuses(run(0, {"--dry-run"})), (Words{"would skip", "would run", "would run"}));
}

TEST_F(BatchResume, AnInterruptionKeepsTheMomentsForTheNextRun) {
  testing::TinyModel large;
  large.layers = 30;
  large.hidden = 64;
  large.intermediate = 128;
  testing::make_base(base(), large);
  for (const char* name : {"a", "b"}) testing::make_unlearned(root_ / name, large);
  write_manifest({job("a"), job("b")});
  Program program(batch({"-q"}));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!fs::exists(root_ / ".clean_a.partial") && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(milliseconds(1));
  ASSERT_EQ(::kill(program.pid(), SIGTERM), 0);
  EXPECT_EQ(program.wait().code, 130);
  ASSERT_EQ(snapshot(root_ / ".batch.json.moments").size(), 1U);
  const RunResult again = testing::run_program(batch());
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(again.err.find("collecting"), std::string::npos) << again.err;
  EXPECT_FALSE(fs::exists(root_ / ".batch.json.moments"));
}

}  // namespace
}  // namespace sagesan
