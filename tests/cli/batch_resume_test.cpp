// A batch that is stopped or killed, and run again.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "cli/batch_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using std::chrono::milliseconds;
using testing::Arguments;
using testing::joined;
using testing::Program;
using testing::read_file;
using testing::RunResult;
using testing::snapshot;
using testing::Words;

class BatchResume : public testing::BatchTest {
 protected:
  /// Two that share moments, one with texts of its own; second copies of a report.
  void write_three() {
    write_manifest({job("a", {{"report", "a.json"}}),
                    job("b", {{"strength", 3}, {"report", "b.json"}}),
                    job("c", {{"retain", "other.jsonl"}})});
  }
  Arguments resumable() const { return batch({"-q", "--summary", summary()}); }
  /// Everything but the summary, whose states and times may differ.
  std::map<std::string, std::string> files() const {
    auto result = snapshot(root_.path());
    result.erase("summary.json");
    return result;
  }
  /// An older output of each job, to be replaced.
  void make_old_outputs() {
    write_manifest(
        {job("a", {{"energy", 0.5}}), job("b", {{"energy", 0.5}}), job("c", {{"energy", 0.5}})});
    run(0);
  }
  void remove_outputs() const {
    for (const char* name : {"a", "b", "c"}) fs::remove_all(clean(name));
    for (const char* name : {"a.json", "b.json", "summary.json"}) fs::remove(root_ / name);
  }
  /// The summary, where there is one, must be whole at any time.
  void expect_valid_summary() const {
    if (!fs::exists(summary())) return;
    EXPECT_EQ(json::parse(read_file(summary()))["jobs"].size(), 3U);
  }
};

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

TEST_F(BatchResume, KilledAtAnyMoment) {
  make_old_outputs();
  write_three();
  const auto started = std::chrono::steady_clock::now();
  succeed(joined(resumable(), {"--overwrite"}));
  const auto whole = std::chrono::steady_clock::now() - started;
  const auto expected = files();
  constexpr int kRuns = 4;
  for (int i = 0; i < kRuns; ++i) {
    remove_outputs();
    make_old_outputs();
    write_three();
    // The loading of libtorch is the first half.
    Program program(joined(resumable(), {"--overwrite"}));
    std::this_thread::sleep_for(whole / 2 + whole / 2 * i / kRuns);
    ::kill(program.pid(), SIGKILL);
    program.wait();
    expect_valid_summary();
    const RunResult again = testing::run_program(joined(resumable(), {"--overwrite"}));
    EXPECT_EQ(again.code, 0) << again.err;
    EXPECT_TRUE(files() == expected) << "after " << i;
  }
}

/// System calls that change what a directory holds, or that force it to the disk, and how many of
/// them to pass between two kills: each takes a second. SAGESAN_KILL_AT_EVERY_CALL=1 passes none.
struct KilledCalls {
  const char* names;
  int step;
};

class BatchKilledAt : public BatchResume, public ::testing::WithParamInterface<KilledCalls> {
 protected:
  /// Whether it got as far as the call of that number.
  bool run_killed(int call, const Arguments& arguments) const {
    const std::string names = GetParam().names;
    const RunResult run = testing::run_program(
        joined({"-f", "-qq", "-o", "/dev/null", "-e", "trace=" + names, "-e",
                fmt::format("inject={}:signal=KILL:when={}", names, call), SAGESAN_BINARY},
               arguments),
        nullptr, "/usr/bin/strace");
    return run.code != 0;
  }
  static int step() {
    return std::getenv("SAGESAN_KILL_AT_EVERY_CALL") != nullptr ? 1 : GetParam().step;
  }
};

TEST_P(BatchKilledAt, ACall) {
  if (testing::run_program({"-qq", "/bin/true"}, nullptr, "/usr/bin/strace").code != 0)
    GTEST_SKIP() << "no strace here, or it may not trace";
  make_old_outputs();
  write_three();
  const Arguments arguments = joined(resumable(), {"--overwrite"});
  const auto begin = files();
  succeed(arguments);
  const auto expected = files();
  int killed = 0;
  for (int call = 1; call < 200; call += step()) {
    remove_outputs();
    // The old outputs, without making them again.
    for (const auto& [name, content] : begin) {
      if (content == "(directory)") fs::create_directories(root_ / name);
    }
    for (const auto& [name, content] : begin) {
      if (content != "(directory)" && name.starts_with("clean_"))
        testing::write_file(root_ / name, content);
    }
    ASSERT_TRUE(files() == begin);
    if (!run_killed(call, arguments)) break;
    ++killed;
    expect_valid_summary();
    const RunResult again = testing::run_program(arguments);
    EXPECT_EQ(again.code, 0) << again.err;
    ASSERT_TRUE(files() == expected) << GetParam().names << " number " << call;
  }
  EXPECT_GT(killed, 0);
}

INSTANTIATE_TEST_SUITE_P(Calls, BatchKilledAt,
                         ::testing::Values(KilledCalls{"rename", 8}, KilledCalls{"renameat2", 2},
                                           KilledCalls{"fsync", 25}, KilledCalls{"link", 1},
                                           KilledCalls{"mkdir", 5},
                                           KilledCalls{"unlink,unlinkat,rmdir", 20}));

}  // namespace
}  // namespace sagesan
