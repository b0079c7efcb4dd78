#include "sagesan/support/memory.h"

#include <gtest/gtest.h>

#include "helpers/files.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;

class ControlGroup : public ::testing::Test {
 protected:
  void write(const fs::path& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    testing::write_file(root_ / path, text);
  }
  uint64_t usable() const { return usable_memory(root_.path()); }

  testing::TemporaryDirectory root_;
  uint64_t machine_ = usable();  ///< no control group is described there yet
};

TEST_F(ControlGroup, WithoutOneTheMachineHasWhatItHas) {
  EXPECT_GT(machine_, 1U << 20);
  write("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(usable(), machine_);
  write("proc/self/cgroup", "no line of it\n:\n");
  EXPECT_EQ(usable(), machine_);
}

TEST_F(ControlGroup, AndThoseAboveItLimitMemory) {
  write("proc/self/cgroup", "0::/slurm/job_7/step\n");
  write("sys/fs/cgroup/slurm/job_7/step/memory.max", "max\n");
  EXPECT_EQ(usable(), machine_);
  write("sys/fs/cgroup/slurm/job_7/memory.max", "70000\n");
  EXPECT_EQ(usable(), 70000U);
  write("sys/fs/cgroup/slurm/memory.max", "9000000\n");
  EXPECT_EQ(usable(), 70000U);
  write("sys/fs/cgroup/slurm/job_7/step/memory.max", "50000\n");
  EXPECT_EQ(usable(), 50000U);
}

TEST_F(ControlGroup, OfAContainerIsTheRootItSees) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "4096000\n");
  EXPECT_EQ(usable(), 4096000U);
}

TEST_F(ControlGroup, OfTheFirstVersionCountsToo) {
  write("proc/self/cgroup", "5:cpu,cpuacct:/docker/a\n4:memory:/docker/a\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(usable(), machine_);
  write("sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "123456\n");
  EXPECT_EQ(usable(), 123456U);
}

}  // namespace
}  // namespace sagesan
