// Exit code 4: a disk that is full at the start, at the weights or at the last small file.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

#include "cli/cli_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::RunResult;
using testing::snapshot;

class FullDisk : public testing::CliTest {
 protected:
  FullDisk() { make_pair(); }
  /// `run` must have failed with one line that holds `fragment`, leaving `directory` empty.
  static void expect_failure(const RunResult& run, const std::string& fragment,
                             const fs::path& directory) {
    EXPECT_EQ(run.signal, 0) << "killed: " << ::strsignal(run.signal);
    EXPECT_EQ(run.code, 4) << run.err;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    EXPECT_NE(run.err.find(fragment), std::string::npos) << run.err;
    for (const auto& entry : fs::directory_iterator(directory)) {
      ADD_FAILURE() << "left behind: " << entry.path();
    }
  }
};

TEST_F(FullDisk, FileSizeLimit) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "this build writes counters of coverage, too";
#endif
  fs::create_directory(root_ / "parent");
  const auto limit = [] {
    const rlimit bytes{8192, 8192};
    ::setrlimit(RLIMIT_FSIZE, &bytes);
  };
  const RunResult run =
      testing::run_program({"sanitize", "--base", base(), "--unlearned", unlearned(), "--retain",
                            retain(), "--device", "cpu", "--out", root_ / "parent/out"},
                           limit);
  expect_failure(run, "File too large", root_ / "parent");
}

TEST_F(FullDisk, StandardOutput) {
  const auto redirect = [] { ::dup2(::open("/dev/full", O_WRONLY), STDOUT_FILENO); };
  const RunResult run = testing::run_program(
      {"inspect", "--base", base(), "--unlearned", unlearned(), "--json"}, redirect);
  EXPECT_EQ(run.code, 4);
  EXPECT_EQ(run.err, "sagesan: error: standard output: cannot write\n");
}

/// On a file system of its own with little room.
class SmallDisk : public FullDisk {
 protected:
  void SetUp() override { fs::create_directory(mounted()); }
  void TearDown() override {
    if (is_mounted_) ::umount(mounted().c_str());
  }
  fs::path mounted() const { return root_ / "disk"; }
  bool mount(uint64_t bytes) {
    is_mounted_ =
        ::mount("tmpfs", mounted().c_str(), "tmpfs", 0, fmt::format("size={}", bytes).c_str()) == 0;
    return is_mounted_;
  }
  Arguments to_disk() const {
    return {"sanitize", "--base",   base(), "--unlearned", unlearned(),      "--retain",
            retain(),   "--device", "cpu",  "--out",       mounted() / "out"};
  }
  bool is_mounted_ = false;
};

TEST_F(SmallDisk, NoRoomForTheWeightsIsFoundBeforeTheRun) {
  if (!mount(8192)) GTEST_SKIP() << "no tmpfs here: " << std::strerror(errno);
  expect_failure(testing::run_program(to_disk()), "the output needs", mounted());
}

TEST_F(SmallDisk, NoRoomForTheLastSmallFile) {
  const uint64_t weights = fs::file_size(unlearned() / "model.safetensors");
  // Whole pages of weights, config.json and a page of the report.
  if (!mount((weights / 4096 + 3) * 4096))
    GTEST_SKIP() << "no tmpfs here: " << std::strerror(errno);
  expect_failure(testing::run_program(to_disk()), "No space left on device", mounted());
}

}  // namespace
}  // namespace sagesan
