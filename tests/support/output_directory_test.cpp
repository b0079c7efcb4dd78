#include "sagesan/support/output_directory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "helpers/files.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::expect_input_error;
using testing::expect_io_error;
using testing::read_file;
using testing::snapshot;
using testing::write_file;

constexpr const char* kReportMarker = "sagesan_report.json";

class OutputDirectoryTest : public ::testing::Test {
 protected:
  fs::path target() const { return root_ / "out"; }
  fs::path partial() const { return root_ / ".out.partial"; }
  fs::path moved_away() const { return root_ / ".out.old.partial"; }
  std::function<void(const std::string&)> notice() {
    return [this](const std::string& line) { notices_.push_back(line); };
  }
  void make_old_output(const fs::path& where) {
    fs::create_directory(where);
    write_file(where / kReportMarker, "{}");
    write_file(where / "old", "old");
  }

  /// What is at the target appeared meanwhile: the commit fails, and it stays.
  void expect_not_replaced(std::optional<OutputDirectory>& output) const {
    const auto before = snapshot(target());
    expect_io_error([&] { output->commit(); }, target().string(),
                    "appeared while this run was writing; it was not replaced");
    output.reset();
    EXPECT_EQ(snapshot(target()), before);
    EXPECT_FALSE(fs::exists(partial()));
  }

  testing::TemporaryDirectory root_;
  std::vector<std::string> notices_;
};

TEST_F(OutputDirectoryTest, AppearsAtCommitAndNotBefore) {
  OutputDirectory output(target(), false, kReportMarker, notice());
  write_file(output.path() / "a", "1");
  EXPECT_FALSE(fs::exists(target()));
  output.commit();
  EXPECT_EQ(read_file(target() / "a"), "1");
  EXPECT_FALSE(fs::exists(partial()));
  EXPECT_TRUE(notices_.empty());
}

TEST_F(OutputDirectoryTest, WithoutCommitNothingStays) {
  {
    OutputDirectory output(target(), false, kReportMarker, notice());
    write_file(output.path() / "a", "1");
    fs::create_directory(output.path() / "sub");
  }
  EXPECT_TRUE(fs::is_empty(root_.path()));
}

TEST_F(OutputDirectoryTest, TrailingSlashNamesTheSameTarget) {
  OutputDirectory output(target() / "", false, kReportMarker, notice());
  EXPECT_EQ(output.path(), partial());
  output.commit();
  EXPECT_TRUE(fs::is_directory(target()));
}

TEST_F(OutputDirectoryTest, OldOutputStaysCompleteUntilTheExchange) {
  make_old_output(target());
  const auto old = snapshot(target());
  OutputDirectory output(target(), true, kReportMarker, notice());
  write_file(output.path() / "new", "new");
  EXPECT_EQ(snapshot(target()), old);
  output.commit();
  EXPECT_EQ(snapshot(root_.path()),
            (std::map<std::string, std::string>{{"out", "(directory)"}, {"out/new", "new"}}));
}

TEST_F(OutputDirectoryTest, OldOutputStaysWhereTheRunFails) {
  make_old_output(target());
  const auto old = snapshot(root_.path());
  {
    OutputDirectory output(target(), true, kReportMarker, notice());
    write_file(output.path() / "new", "new");
  }
  EXPECT_EQ(snapshot(root_.path()), old);
}

TEST_F(OutputDirectoryTest, WhatAppearsMeanwhileIsNotReplaced) {
  std::optional<OutputDirectory> output;
  output.emplace(target(), false, kReportMarker, notice());
  make_old_output(target());
  expect_not_replaced(output);
}

TEST_F(OutputDirectoryTest, WhatIsNoOutputMeanwhileIsNotReplacedEither) {
  for (const bool had_output : {false, true}) {
    fs::remove_all(target());
    if (had_output) make_old_output(target());
    std::optional<OutputDirectory> output;
    output.emplace(target(), true, kReportMarker, notice());
    fs::remove_all(target());
    fs::create_directory(target());
    write_file(target() / "thesis.tex", "years of work");
    expect_not_replaced(output);
  }
}

TEST_F(OutputDirectoryTest, LeftoverOfAKilledRunIsRemovedWithANotice) {
  fs::create_directories(partial() / "sub");
  write_file(partial() / "model.safetensors", "half");
  OutputDirectory output(target(), false, kReportMarker, notice());
  ASSERT_EQ(notices_.size(), 1U);
  EXPECT_EQ(notices_[0], "removing what a killed run left: " + partial().string());
  EXPECT_TRUE(fs::is_empty(output.path()));
  output.commit();
  EXPECT_TRUE(fs::is_empty(target()));
}

TEST_F(OutputDirectoryTest, OldOutputMovedAwayIsRestored) {
  make_old_output(moved_away());
  {
    OutputDirectory output(target(), true, kReportMarker, notice());
    ASSERT_EQ(notices_.size(), 1U);
    EXPECT_EQ(notices_[0],
              "restoring the output that an interrupted run moved away: " + target().string());
    EXPECT_EQ(read_file(target() / "old"), "old");
    EXPECT_FALSE(fs::exists(moved_away()));
  }
  EXPECT_EQ(read_file(target() / "old"), "old");
}

TEST_F(OutputDirectoryTest, RestoredOutputIsRefusedAtOnceWithoutOverwrite) {
  make_old_output(moved_away());
  // Not hours later, at the commit.
  EXPECT_THROW(OutputDirectory(target(), false, kReportMarker, notice()), Error);
  EXPECT_EQ(read_file(target() / "old"), "old");
}

TEST_F(OutputDirectoryTest, OldOutputIsRemovedWhereTheNewOneIsThere) {
  make_old_output(moved_away());
  make_old_output(target());
  const auto now = snapshot(target());
  {
    OutputDirectory output(target(), true, kReportMarker, notice());
    ASSERT_EQ(notices_.size(), 1U);
    EXPECT_EQ(notices_[0], "removing what an earlier run left: " + moved_away().string());
  }
  EXPECT_EQ(snapshot(target()), now);
  EXPECT_FALSE(fs::exists(moved_away()));
}

TEST_F(OutputDirectoryTest, RecoveryLeavesTheOutputAlone) {
  OutputDirectory::recover(target(), notice());
  EXPECT_TRUE(snapshot(root_.path()).empty());
  make_old_output(target());
  const auto before = snapshot(root_.path());
  fs::create_directory(partial());
  write_file(partial() / "a", "half");
  OutputDirectory::recover(target() / "", notice());
  EXPECT_EQ(snapshot(root_.path()), before);
  EXPECT_EQ(notices_.size(), 1U);
  fs::rename(target(), moved_away());
  OutputDirectory::recover(target(), notice());
  EXPECT_EQ(snapshot(root_.path()), before);
}

TEST_F(OutputDirectoryTest, SecondRunOnTheSameTargetIsRefused) {
  OutputDirectory first(target(), false, kReportMarker, notice());
  write_file(first.path() / "a", "1");
  expect_io_error([&] { OutputDirectory(target(), false, kReportMarker, notice()); },
                  target().string(), "another run of sagesan is writing this output");
  EXPECT_EQ(read_file(first.path() / "a"), "1");
  first.commit();
  EXPECT_EQ(read_file(target() / "a"), "1");
}

TEST_F(OutputDirectoryTest, SecondRunDoesNotPutBackWhatTheFirstIsMoving) {
  OutputDirectory first(target(), true, kReportMarker, notice());
  make_old_output(moved_away());  // as where there is no exchange, between the two renames
  expect_io_error([&] { OutputDirectory(target(), true, kReportMarker, notice()); },
                  target().string(), "another run of sagesan is writing this output");
  EXPECT_TRUE(fs::exists(moved_away()));
  EXPECT_FALSE(fs::exists(target()));
}

TEST_F(OutputDirectoryTest, OldOutputOfARunThatIsAtItsCommitIsLeft) {
  make_old_output(moved_away());
  make_old_output(target());
  const FileDescriptor old(::open(moved_away().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::flock(old.get(), LOCK_EX | LOCK_NB), 0);
  expect_io_error([&] { OutputDirectory(target(), true, kReportMarker, notice()); },
                  target().string(), "another run of sagesan is writing this output");
  EXPECT_TRUE(fs::exists(moved_away()));
  EXPECT_FALSE(fs::exists(partial()));
}

// In a directory that others write to: they could change what is written there.
TEST_F(OutputDirectoryTest, LeftoversOfAnotherUserAreNotTakenOver) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  constexpr uid_t kNobody = 65534;
  for (const fs::path& left : {partial(), root_ / ".out.old.partial"}) {
    fs::create_directory(left);
    ASSERT_EQ(::chown(left.c_str(), kNobody, kNobody), 0);
    expect_io_error([&] { OutputDirectory(target(), true, kReportMarker, notice()); },
                    left.string(), "belongs to another user");
    EXPECT_TRUE(fs::exists(left));
    EXPECT_FALSE(fs::exists(target()));
    fs::remove(left);
  }
}

TEST_F(OutputDirectoryTest, PartialThatIsALinkIsNotFollowed) {
  fs::create_directory(root_ / "precious");
  write_file(root_ / "precious/a", "1");
  fs::create_directory_symlink(root_ / "precious", partial());
  expect_io_error([&] { OutputDirectory(target(), false, kReportMarker, notice()); },
                  partial().string(), "is in the way; remove it");
  EXPECT_EQ(read_file(root_ / "precious/a"), "1");
}

TEST_F(OutputDirectoryTest, NamesOfUnfinishedOutputsAreSagesansOwn) {
  for (const char* name : {".out.partial", ".out.old.partial", ".partial"}) {
    expect_input_error([&] { OutputDirectory::check(root_ / name, {}, false, kReportMarker); },
                       (root_ / name).string(), "is how an unfinished output is called");
  }
  OutputDirectory::check(root_ / "out.partial", {}, false, kReportMarker);
}

TEST_F(OutputDirectoryTest, InputsThatCannotBeResolvedAreNotEverywhere) {
  fs::create_symlink("loop", root_ / "loop");
  OutputDirectory::check(target(), {root_ / "loop", root_ / "loop/model"}, false, kReportMarker);
  expect_input_error(
      [&] { OutputDirectory::check(root_ / "loop/out", {root_ / "loop"}, false, kReportMarker); },
      (root_ / "loop/out").string(), "must lie outside");
}

}  // namespace
}  // namespace sagesan
