// Where the output goes: what is refused, and what a refusal leaves alone.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "cli/cli_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::write_file;

class Output : public testing::CliTest {
 protected:
  Output() { make_pair(); }
  Arguments to(const fs::path& target, const Arguments& more = {}) const {
    return testing::joined({"sanitize", "--base", base(), "--unlearned", unlearned(), "--retain",
                            retain(), "--device", "cpu", "--threads", "1", "--out", target},
                           more);
  }
};

TEST_F(Output, ExistingWithoutOverwrite) {
  fs::create_directory(out());
  write_file(out() / "sagesan_report.json", "{}");
  refuse(sanitize(), 3, {out().string() + ": exists already", "--overwrite"});
}

TEST_F(Output, OverwriteOnlyWhatSagesanWrote) {
  fs::create_directory(out());
  write_file(out() / "thesis.tex", "years of work");
  refuse(
      sanitize({"--overwrite"}), 3,
      {out().string() + ": exists already and is not replaced: it holds no sagesan_report.json"});
}

TEST_F(Output, ABareNameLiesInTheCurrentDirectory) {
  const auto before = testing::snapshot(root_.path());
  for (const char* target : {"out", "./out", "none/out"}) {
    Arguments arguments = to(target);
    arguments[2] = ".";  // the base
    const testing::RunResult run = testing::run_program(arguments, [this] {
      if (::chdir(base().c_str()) != 0) ::_exit(126);
    });
    EXPECT_EQ(run.code, 3) << run.err;
    EXPECT_NE(run.err.find("must lie outside ."), std::string::npos) << run.err;
  }
  EXPECT_TRUE(testing::snapshot(root_.path()) == before);
}

TEST_F(Output, InsideEqualToOrLinkedToAnInput) {
  const std::string reason = "must lie outside ";
  refuse(to(base() / "out"), 3, {reason + base().string()});
  write_file(unlearned() / "sagesan_report.json", "{}");
  refuse(to(unlearned(), {"--overwrite"}), 3, {reason + unlearned().string()});
  fs::create_directory_symlink(base(), root_ / "link");
  refuse(to(root_ / "link/out"), 3, {reason + base().string()});
  write_file(root_ / "sagesan_report.json", "{}");
  refuse(to(root_.path(), {"--overwrite"}), 3, {reason});
}

TEST_F(Output, OverwriteDoesNotRemoveARetainFileInside) {
  fs::create_directory(out());
  write_file(out() / "sagesan_report.json", "{}");
  write_file(out() / "retain.jsonl", testing::read_file(retain()));
  refuse({"sanitize", "--base", base(), "--unlearned", unlearned(), "--retain",
          out() / "retain.jsonl", "--out", out(), "--device", "cpu", "--overwrite"},
         3, {out().string(), "must lie outside "});
}

TEST_F(Output, ReportNeverReplacesAnInput) {
  refuse(sanitize({"--report", retain()}), 3, {retain().string()});
}

TEST_F(Output, ReportNeverReplacesAFileOfTheBase) {
  refuse(sanitize({"--report", base() / "config.json"}), 3, {(base() / "config.json").string()});
}

TEST_F(Output, EvaluationNeverReplacesAnInput) {
  refuse({"evaluate", "--model", base(), "--data", "a=" + retain().string(), "--device", "cpu",
          "--json", retain()},
         3, {retain().string()});
}

TEST_F(Output, MissingParent) {
  refuse(to(root_ / "none/out"), 4, {(root_ / "none").string() + ": no such directory"});
}

TEST_F(Output, ParentThatIsAFile) {
  write_file(root_ / "file", "");
  refuse(to(root_ / "file/out"), 4, {(root_ / "file").string(), "no such directory"});
}

TEST_F(Output, MissingDirectoryOfTheReport) {
  refuse(sanitize({"--report", root_ / "none/r.json"}), 4,
         {(root_ / "none").string() + ": no such directory"});
}

}  // namespace
}  // namespace sagesan
