// Signals: exit code 130, nothing left.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>

#include "cli/cli_fixture.h"

namespace sagesan {
namespace {

using std::chrono::milliseconds;
using testing::Program;
using testing::RunResult;
using testing::TinyModel;

class Interrupt : public testing::CliTest, public ::testing::WithParamInterface<int> {
 protected:
  void make_long_run() {
    TinyModel model;
    model.layers = 30;
    model.hidden = 64;
    model.intermediate = 128;
    make_pair(model);
    testing::write_file(retain(), testing::tiny_records(100, 256, model.vocabulary));
  }
  /// Once the output is being written the long part has begun.
  void wait_for_output() const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!std::filesystem::exists(root_ / ".out.partial") &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(milliseconds(5));
    }
  }
};

TEST_P(Interrupt, LeavesNothing) {
  make_long_run();
  const auto before = testing::snapshot(root_.path());
  Program program(sanitize());
  wait_for_output();
  ASSERT_EQ(::kill(program.pid(), GetParam()), 0);
  const RunResult run = program.wait();
  EXPECT_EQ(run.signal, 0);
  EXPECT_EQ(run.code, 130) << run.out << run.err;
  EXPECT_EQ(run.err, "sagesan: error: interrupted; no output was written\n");
  EXPECT_EQ(run.out, "");
  EXPECT_TRUE(testing::snapshot(root_.path()) == before);
}

/// A second signal, of whatever kind, does not wait for anything.
TEST_F(Interrupt, TwiceEndsAtOnce) {
  make_long_run();
  Program program(sanitize());
  wait_for_output();
  ASSERT_EQ(::kill(program.pid(), SIGSTOP), 0);  // both come before it looks at the first
  ASSERT_EQ(::kill(program.pid(), SIGTERM), 0);
  ASSERT_EQ(::kill(program.pid(), SIGINT), 0);
  ASSERT_EQ(::kill(program.pid(), SIGCONT), 0);
  const RunResult run = program.wait();
  EXPECT_TRUE(run.signal == SIGINT || run.signal == SIGTERM) << run.code << run.err;
}

INSTANTIATE_TEST_SUITE_P(Signals, Interrupt, ::testing::Values(SIGINT, SIGTERM, SIGHUP));

}  // namespace
}  // namespace sagesan
