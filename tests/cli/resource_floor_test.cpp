// What needs no tensors must not load libtorch: it costs half a second and hundreds of libraries.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cli/cli_fixture.h"
#include "report/report_testing.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::RunResult;

class ResourceFloor : public testing::CliTest {
 protected:
  void SetUp() override {
    fs::create_directory(root_ / "alone");
    fs::copy_file(SAGESAN_BINARY, alone());
  }
  /// The executable where no module can be found.
  fs::path alone() const { return root_ / "alone" / "sagesan"; }
};

TEST_F(ResourceFloor, RunsWithoutTheModule) {
  make_pair();
  const fs::path report = root_ / "report.json";
  testing::write_file(report, testing::sample_report().to_json().dump());
  const std::vector<std::pair<Arguments, int>> runs = {
      {{"--help"}, 0},
      {{"--version"}, 0},
      {{"sanitize", "--help"}, 0},
      {{"families"}, 0},
      {sanitize({"--moments", "m"}), 2},
      {{"completion", "bash"}, 0},
      {{"tokenize", "--model", base(), "--data", retain()}, 0},
      {{}, 2},
      {{"sanitise"}, 2},
      {sanitize({"--stregth", "1"}), 2},
      {sanitize({"--strength", "nan"}), 2},
      {{"inspect", "--base", "", "--unlearned", "u"}, 2},
      {{"inspect", "--base", "b"}, 2},
      {{"evaluate", "--model", "m", "--data", "nofile"}, 2},
      {{"check", report, "--max-bias", "0.01"}, 0},
      {{"report", report, "--html", root_ / "page.html"}, 0},
      {{"check", report, "--max-bias", "0.001", "-q"}, 5},
  };
  for (const auto& [arguments, code] : runs) {
    const RunResult run = testing::run_program(arguments, nullptr, alone());
    EXPECT_EQ(run.code, code) << ::testing::PrintToString(arguments) << run.err;
    EXPECT_EQ(run.err.find("libsagesan_jobs"), std::string::npos) << run.err;
  }
}

// Libraries would wait for ever for threads that cannot be started.
TEST_F(ResourceFloor, AJobSaysWhereThreadsCannotBeStarted) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer takes more of the address space than is left";
#endif
  make_pair();
  const RunResult run = testing::run_program(sanitize(), [] {
    const rlimit stack{rlim_t{8} << 30, rlim_t{8} << 30};  // of each thread
    const rlimit all{rlim_t{12} << 30, rlim_t{12} << 30};
    ::setrlimit(RLIMIT_STACK, &stack);
    ::setrlimit(RLIMIT_AS, &all);
  });
  EXPECT_EQ(run.code, 4);
  EXPECT_TRUE(run.err.starts_with("sagesan: error: threads: only 1 of ")) << run.err;
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
}

TEST_F(ResourceFloor, AJobNamesTheMissingModule) {
  make_pair();
  // Not even from the current directory, which is no place of the program's.
  const std::string build = fs::path(SAGESAN_BINARY).parent_path();
  ASSERT_TRUE(fs::exists(build + "/libsagesan_jobs.so"));
  const auto enter_build = [&build] {
    if (::chdir(build.c_str()) != 0) ::_exit(126);
  };
  const RunResult run = testing::run_program(sanitize(), enter_build, alone());
  EXPECT_EQ(run.code, 4);
  EXPECT_TRUE(run.err.starts_with("sagesan: error: libsagesan_jobs.so: cannot be loaded ("))
      << run.err;
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(ResourceFloor, ABugInAJobIsAnInternalError) {
  make_pair();
  fs::copy_file(SAGESAN_BROKEN_MODULE, root_ / "alone" / "libsagesan_jobs.so");
  const RunResult run = testing::run_program(
      {"inspect", "--base", base(), "--unlearned", unlearned()}, nullptr, alone());
  EXPECT_EQ(run.code, 1);
  EXPECT_EQ(run.err, "sagesan: error: internal error (a bug, please report it): what cannot be\n");
  EXPECT_EQ(run.out, "");
  const RunResult full =
      testing::run_program({"evaluate", "--model", base(), "--data", "a=b"}, nullptr, alone());
  EXPECT_EQ(full.code, 4);
  EXPECT_EQ(full.err, "sagesan: error: out of memory (--dry-run says how much a run needs)\n");
}

/// The dynamic linker's own list of what was loaded, which also sees what the executable is linked
/// with.
TEST_F(ResourceFloor, LoadsNoLibtorch) {
  make_pair();
  const auto loaded = [&](const Arguments& arguments) {
    const RunResult run = testing::run_program(arguments, [] { ::setenv("LD_DEBUG", "files", 1); });
    EXPECT_NE(run.err.find("calling init"), std::string::npos) << run.err;
    return run.err.find("libtorch") != std::string::npos;
  };
  EXPECT_FALSE(loaded({"--help"}));
  EXPECT_FALSE(loaded({"families"}));
  EXPECT_TRUE(loaded({"inspect", "--base", base(), "--unlearned", unlearned()}));
}

}  // namespace
}  // namespace sagesan
