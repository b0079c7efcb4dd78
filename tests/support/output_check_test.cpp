#include <gtest/gtest.h>

#include <string>

#include "helpers/files.h"
#include "sagesan/support/output_directory.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::expect_input_error;
using testing::expect_io_error;

constexpr const char* kMarker = "sagesan_report.json";

/// What `OutputDirectory::check` refuses; it never changes anything.
class OutputCheck : public ::testing::Test {
 protected:
  OutputCheck() {
    fs::create_directory(input());
    testing::write_file(input() / "config.json", "{}");
  }
  fs::path input() const { return root_ / "base"; }
  void check(const fs::path& target, bool overwrite = false) const {
    const auto before = testing::snapshot(root_.path());
    try {
      OutputDirectory::check(target, {input()}, overwrite, kMarker);
    } catch (...) {
      EXPECT_EQ(testing::snapshot(root_.path()), before);
      throw;
    }
    EXPECT_EQ(testing::snapshot(root_.path()), before);
  }
  void refuse_as_input(const fs::path& target, bool overwrite = false) const {
    expect_input_error([&] { check(target, overwrite); }, target.string(),
                       "must lie outside " + input().string() + ", which this run reads or writes");
  }

  testing::TemporaryDirectory root_;
};

TEST_F(OutputCheck, NewNameBesideTheInputIsFine) {
  EXPECT_NO_THROW(check(root_ / "out"));
  EXPECT_NO_THROW(check(root_ / "out/"));
  EXPECT_NO_THROW(check(root_ / "base2"));  // "base" is no parent of it
  EXPECT_NO_THROW(check(root_ / "base/../out"));
}

TEST_F(OutputCheck, EqualToAnInput) {
  refuse_as_input(input());
  refuse_as_input(input(), true);
  refuse_as_input(input() / "", true);
  refuse_as_input(root_ / "base/../base", true);
}

TEST_F(OutputCheck, InsideAnInput) {
  refuse_as_input(input() / "out");
  refuse_as_input(input() / "sub/out");
}

TEST_F(OutputCheck, AroundAnInput) {
  testing::write_file(root_ / kMarker, "{}");
  refuse_as_input(root_.path(), true);
}

TEST_F(OutputCheck, LinkedToAnInput) {
  fs::create_directory_symlink(input(), root_ / "link");
  refuse_as_input(root_ / "link", true);
  refuse_as_input(root_ / "link/out");
  fs::create_directory(root_ / "real");
  fs::create_directory_symlink(root_ / "real", root_ / "input_link");
  expect_input_error(
      [&] { OutputDirectory::check(root_ / "real", {root_ / "input_link"}, true, kMarker); },
      (root_ / "real").string(), "must lie outside ");
}

TEST_F(OutputCheck, MissingParent) {
  expect_io_error([&] { check(root_ / "none/out"); }, (root_ / "none").string(),
                  "no such directory to write the output into");
}

TEST_F(OutputCheck, ParentThatIsAFile) {
  testing::write_file(root_ / "file", "");
  expect_io_error([&] { check(root_ / "file/out"); }, (root_ / "file").string(),
                  "no such directory to write the output into");
}

TEST_F(OutputCheck, ExistingTargetWithoutOverwrite) {
  fs::create_directory(root_ / "out");
  testing::write_file(root_ / "out" / kMarker, "{}");
  expect_input_error([&] { check(root_ / "out"); }, (root_ / "out").string(),
                     "exists already; choose another --out or pass --overwrite");
  EXPECT_NO_THROW(check(root_ / "out", true));
}

TEST_F(OutputCheck, OnlyOutputsOfSagesanAreReplaced) {
  const auto refuse = [&](const char* name) {
    expect_input_error([&] { check(root_ / name, true); }, (root_ / name).string(),
                       "holds no sagesan_report.json, so it is no output of sagesan");
  };
  fs::create_directory(root_ / "other");
  testing::write_file(root_ / "other/thesis.tex", "");
  refuse("other");
  testing::write_file(root_ / "file", "");
  refuse("file");
  fs::create_directories(root_ / "odd" / kMarker);  // a directory of that name
  refuse("odd");
}

TEST_F(OutputCheck, LinkToAnOutputIsNotReplaced) {
  fs::create_directory(root_ / "out");
  testing::write_file(root_ / "out" / kMarker, "{}");
  fs::create_directory_symlink(root_ / "out", root_ / "link");
  fs::create_symlink("nowhere", root_ / "dangling");
  for (const char* name : {"link", "dangling"}) {
    expect_input_error([&] { check(root_ / name, true); }, (root_ / name).string(),
                       "is a link; give the directory itself, or another --out");
  }
}

}  // namespace
}  // namespace sagesan
