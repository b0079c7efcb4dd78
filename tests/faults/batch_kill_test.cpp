// SIGKILL of a batch that overwrites, at each change of the disk: the next run ends as one that was
// never killed.
//
// SAGESAN_KILL_AT_EVERY_CHANGE=1: at every one, which takes minutes; else at one of kStep.
#include <csignal>
#include <cstdlib>

#include "cli/batch_resume_fixture.h"
#include "fault_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::BatchResume;
using testing::Files;
using testing::RunResult;

constexpr size_t kStep = 7;

TEST_F(BatchResume, KilledAtAnyChange) {
  make_old_outputs();
  write_three();
  const Arguments arguments = testing::joined(resumable(), {"--overwrite"});
  const Files begin = files();
  succeed(arguments);
  const Files expected = files();
  const size_t step = std::getenv("SAGESAN_KILL_AT_EVERY_CHANGE") != nullptr ? 1 : kStep;
  size_t killed = 0;
  for (size_t change = 1;; change += step) {
    SCOPED_TRACE(change);
    // The old outputs, without making them again.
    remove_outputs();
    for (const auto& [name, content] : begin) {
      if (content == "(directory)") fs::create_directories(root_ / name);
    }
    for (const auto& [name, content] : begin) {
      if (content != "(directory)" && name.starts_with("clean_"))
        testing::write_file(root_ / name, content);
    }
    ASSERT_TRUE(files() == begin);
    const RunResult run = testing::run_program(
        arguments, testing::with_faults(root_.path(), fmt::format("change:{}:kill", change)));
    if (run.signal != SIGKILL) {
      EXPECT_EQ(run.code, 0) << run.err;
      break;
    }
    ++killed;
    expect_valid_summary();
    const RunResult again = testing::run_program(arguments);
    EXPECT_EQ(again.code, 0) << again.err;
    ASSERT_TRUE(files() == expected);
  }
  EXPECT_GT(killed, 80 / step);
}

}  // namespace
}  // namespace sagesan
