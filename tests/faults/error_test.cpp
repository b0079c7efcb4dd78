// System calls that fail: exit code 4, nothing left, inputs as they were; or, where there is
// another way, the same output.
#include <csignal>

#include "fault_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using testing::Arguments;
using testing::Program;
using testing::RunResult;
using testing::snapshot;

class FailingCall : public testing::FaultTest {
 protected:
  FailingCall() {
    succeed(sanitize({"-q"}));
    expected_ = snapshot(out());
    fs::remove_all(out());
  }
  /// The run must end as it would without the fault, and take its output away for the next one.
  void expect_same_output(const RunResult& run) const {
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_TRUE(snapshot(out()) == expected_) << "another output";
    EXPECT_EQ(leftovers(), std::vector<std::string>{});
    EXPECT_TRUE(read_inputs() == inputs_) << "inputs were changed";
    fs::remove_all(out());
  }
  /// Each call named `kind` that a clean run makes fails once, in a run of its own.
  void expect_failures(const std::string& kind, int error, const std::string& fragment) {
    size_t number = 0;
    for (const std::string& call : calls_of(sanitize({"-q"})))
      number += call.starts_with(kind + " ") ? 1 : 0;
    fs::remove_all(out());
    ASSERT_GT(number, 0U) << "a clean run makes no " << kind;
    for (size_t i = 1; i <= number; ++i) {
      SCOPED_TRACE(fmt::format("{} {} of {}", kind, i, number));
      expect_clean_failure(run_with(fmt::format("{}:{}:{}", kind, i, error), sanitize({"-q"})),
                           fragment);
    }
  }

  testing::Files expected_;
};

TEST_F(FailingCall, Create) { expect_failures("create", ENOSPC, "No space left on device"); }
TEST_F(FailingCall, MakeDirectory) { expect_failures("mkdir", EROFS, "Read-only file system"); }
TEST_F(FailingCall, Reserve) { expect_failures("reserve", ENOSPC, "cannot reserve"); }
TEST_F(FailingCall, Write) { expect_failures("write", ENOSPC, "No space left on device"); }
TEST_F(FailingCall, Sync) {
  expect_failures("fsync", EIO, "cannot write to the disk: Input/output error");
}
TEST_F(FailingCall, Place) { expect_failures("place", EXDEV, "cannot rename the finished output"); }

TEST_F(FailingCall, Read) {
  // The first reads are of headers, the last of the weights that are computed with.
  size_t reads = 0;
  for (const std::string& call : calls_of(sanitize({"-q"})))
    reads += call.starts_with("read ") ? 1 : 0;
  fs::remove_all(out());
  ASSERT_GT(reads, 20U);
  for (size_t i = 1; i <= reads; i += 1 + reads / 16)
    expect_clean_failure(run_with(fmt::format("read:{}:{}", i, EIO), sanitize({"-q"})),
                         "cannot read: Input/output error");
}

TEST_F(FailingCall, OpenWithoutDescriptors) {
  size_t opened = 0;
  for (const std::string& call : calls_of(sanitize({"-q"})))
    opened += call.starts_with("open ") ? 1 : 0;
  fs::remove_all(out());
  for (size_t i = 1; i <= opened; i += 1 + opened / 8) {
    const RunResult run = run_with(fmt::format("open:{}+:{}", i, EMFILE), sanitize({"-q"}));
    EXPECT_EQ(run.code, 4) << run.err;
    EXPECT_NE(run.err.find("Too many open files"), std::string::npos) << run.err;
    EXPECT_FALSE(fs::exists(out()));
    EXPECT_TRUE(read_inputs() == inputs_);
    // Cleaning up takes descriptors, too: what is left is removed by the next run.
    fs::remove_all(root_ / ".out.partial");
    EXPECT_EQ(leftovers(), std::vector<std::string>{});
  }
}

TEST_F(FailingCall, ShortReadsAndWritesAndInterruptionsAreGoneOn) {
  expect_same_output(run_with("read:1+:half,write:1+:half,copy:1+:half", sanitize({"-q"})));
  expect_same_output(
      run_with(fmt::format("read:3:{0},read:20:{0},write:1:{0},write:4:{0},copy:1:{0}", EINTR),
               sanitize({"-q"})));
}

TEST_F(FailingCall, WithoutWhatSomeFileSystemsLackThereIsAnotherWay) {
  expect_same_output(
      run_with(fmt::format("copy:1+:{},reserve:1+:{},place:1+:{}", EXDEV, EOPNOTSUPP, EINVAL),
               sanitize({"-q"})));
}

TEST_F(FailingCall, OfAnOverwriteLeavesTheOldOutput) {
  succeed(sanitize({"-q", "--strength", "5"}));
  const auto old = snapshot(out());
  for (const std::string& fault :
       {fmt::format("write:2:{}", ENOSPC), fmt::format("exchange:1:{}", EIO),
        // The directory that both names are in cannot be forced to the disk: the last fsync.
        fmt::format("exchange:1:{0},place:1:{0},rename:2:{1}", EINVAL, EIO)}) {
    SCOPED_TRACE(fault);
    const RunResult run = run_with(fault, sanitize({"-q", "--overwrite"}));
    EXPECT_EQ(run.code, 4) << run.err;
    EXPECT_TRUE(snapshot(out()) == old);
    EXPECT_EQ(leftovers(), std::vector<std::string>{});
  }
  size_t syncs = 0;
  testing::Files kept = old;
  for (const std::string& call : calls_of(sanitize({"-q", "--overwrite"})))
    syncs += call.starts_with("fsync ") ? 1 : 0;
  kept = snapshot(out());
  for (const std::string& lacking :
       {std::string(), fmt::format(",exchange:1:{0},place:1:{0}", EINVAL)}) {
    const RunResult run = run_with(fmt::format("fsync:{}:{}{}", syncs, EIO, lacking),
                                   sanitize({"-q", "--overwrite", "--strength", "7"}));
    EXPECT_EQ(run.code, 4) << run.err;
    EXPECT_TRUE(snapshot(out()) == kept) << "the old output is not in its place";
    EXPECT_EQ(leftovers(), std::vector<std::string>{});
  }
}

TEST_F(FailingCall, OldOutputThatCannotBeRemovedIsLeftForTheNextRun) {
  succeed(sanitize({"-q", "--strength", "5"}));
  const RunResult run =
      run_with(fmt::format("remove:1+:{}", EACCES), sanitize({"-q", "--overwrite"}));
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(snapshot(out()) == expected_);
  EXPECT_EQ(leftovers(), std::vector<std::string>{".out.partial"});
  fs::remove_all(out());
  expect_same_output(testing::run_program(sanitize()));
}

TEST_F(FailingCall, NoMemory) {
  // Of the allocations of tensors: early ones, and ones in the middle of the run.
  for (const int number : {1, 5, 40, 120}) {
    SCOPED_TRACE(number);
    expect_clean_failure(run_with(fmt::format("memory:{}+:{}", number, ENOMEM), sanitize({"-q"})),
                         "out of memory");
  }
}

TEST_F(FailingCall, NoMemoryForSmallThings) {
  int ended = 0;
  for (const int number : {1, 10, 50, 100, 200, 400, 800, 1200, 1600, 2000, 2500, 3000}) {
    SCOPED_TRACE(number);
    const RunResult run = run_with(fmt::format("new:{}:{}", number, ENOMEM), sanitize({"-q"}));
    if (run.signal != SIGABRT) {
      expect_clean_failure(run, "out of memory");
      continue;
    }
    // nlohmann_json copies in functions that promise not to throw: as a kill. One place in fifty.
    ++ended;
    EXPECT_FALSE(fs::exists(out()));
    EXPECT_TRUE(read_inputs() == inputs_);
    fs::remove_all(root_ / ".out.partial");
  }
  EXPECT_LE(ended, 3);
  expect_same_output(testing::run_program(sanitize()));
}

/// Or a loss of power could leave names without their bytes.
TEST_F(FailingCall, AllIsOnTheDiskBeforeTheOutputAppears) {
  const std::vector<std::string> calls = calls_of(sanitize({"-q"}));
  const auto find = [&](auto from, const std::string& call) {
    return std::find(from, calls.end(), call);
  };
  const std::string partial = (root_ / ".out.partial").string();
  const auto placed = std::find_if(calls.begin(), calls.end(), [](const std::string& call) {
    return call.starts_with("place ");
  });
  ASSERT_NE(placed, calls.end());
  int created = 0;
  for (auto call = calls.begin(); call != placed; ++call) {
    if (!call->starts_with("create ")) continue;
    ++created;
    EXPECT_LT(find(call, "fsync " + call->substr(7)), placed) << *call;
  }
  EXPECT_GT(created, 4);
  const auto last_created =
      std::find_if(std::make_reverse_iterator(placed), calls.rend(),
                   [](const std::string& call) { return call.starts_with("create "); });
  EXPECT_LT(find(last_created.base(), "fsync " + partial), placed);
  EXPECT_NE(find(placed, "fsync " + root_.path().string()), calls.end());
}

TEST_F(FailingCall, AnyInputThatIsCutWhileTheRunGoesOn) {
  size_t reads = 0;
  for (const std::string& call : calls_of(sanitize({"-q"})))
    reads += call.starts_with("read ") ? 1 : 0;
  fs::remove_all(out());
  for (const fs::path& file : {base() / "model-00002-of-00002.safetensors", base() / "config.json",
                               unlearned() / "config.json", retain()}) {
    const std::string bytes = testing::read_file(file);
    size_t refused = 0;
    for (size_t number = 1; number < reads; number += 1 + reads / 6) {
      SCOPED_TRACE(fmt::format("{} before read {} of {}", file.string(), number, reads));
      Program program(sanitize({"-q"}), with_faults(fmt::format("read:{}:stop", number)));
      int status = 0;
      ASSERT_EQ(::waitpid(program.pid(), &status, WUNTRACED), program.pid());
      ASSERT_TRUE(WIFSTOPPED(status));
      fs::resize_file(file, bytes.size() / 2);
      ::kill(program.pid(), SIGCONT);
      const RunResult run = program.wait();
      testing::write_file(file, bytes);
      if (run.code == 0) {  // all of it had been read
        expect_same_output(run);
        continue;
      }
      ++refused;
      expect_clean_failure(run, file.parent_path().string(), 3);
    }
    EXPECT_GT(refused, 0U) << file;
  }
}

TEST_F(FailingCall, InputThatIsCutWhileItIsRead) {
  const fs::path weights = unlearned() / "model-00001-of-00002.safetensors";
  const std::string bytes = testing::read_file(weights);
  size_t reads = 0;
  for (const std::string& call : calls_of(sanitize({"-q"})))
    reads += call.starts_with("read ") ? 1 : 0;
  fs::remove_all(out());
  for (const size_t number : {reads / 4, reads / 2, reads - 2}) {
    Program program(sanitize({"-q"}), with_faults(fmt::format("read:{}:stop", number)));
    int status = 0;
    ASSERT_EQ(::waitpid(program.pid(), &status, WUNTRACED), program.pid());
    ASSERT_TRUE(WIFSTOPPED(status)) << "ended before read " << number;
    fs::resize_file(weights, 100);
    ::kill(program.pid(), SIGCONT);
    const RunResult run = program.wait();
    testing::write_file(weights, bytes);
    if (run.code == 0) {  // all of it had been read
      expect_same_output(run);
    } else {
      expect_clean_failure(run, "truncated", 3);
      EXPECT_NE(run.err.find(weights.string()), std::string::npos) << run.err;
    }
  }
}

TEST_F(FailingCall, InputThatIsReplacedWhileItIsRead) {
  const fs::path weights = unlearned() / "model-00001-of-00002.safetensors";
  Program program(sanitize({"-q"}), with_faults("write:1:stop"));
  int status = 0;
  ASSERT_EQ(::waitpid(program.pid(), &status, WUNTRACED), program.pid());
  ASSERT_TRUE(WIFSTOPPED(status));
  fs::rename(weights, root_ / "kept");
  testing::write_file(weights, "another file");
  ::kill(program.pid(), SIGCONT);
  const RunResult run = program.wait();
  fs::rename(root_ / "kept", weights);
  expect_same_output(run);  // of the files that were opened
}

TEST_F(FailingCall, TwoRunsToOneOutput) {
  Program first(sanitize({"-q"}), with_faults("write:1:stop"));
  int status = 0;
  ASSERT_EQ(::waitpid(first.pid(), &status, WUNTRACED), first.pid());
  ASSERT_TRUE(WIFSTOPPED(status));
  const RunResult second = testing::run_program(sanitize());
  EXPECT_EQ(second.code, 4);
  EXPECT_EQ(second.err, "sagesan: error: " + out().string() +
                            ": another run of sagesan is writing this output\n");
  ::kill(first.pid(), SIGCONT);
  expect_same_output(first.wait());
}

TEST_F(FailingCall, OutputThatAppearsMeanwhile) {
  Program program(sanitize({"-q"}), with_faults("write:1:stop"));
  int status = 0;
  ASSERT_EQ(::waitpid(program.pid(), &status, WUNTRACED), program.pid());
  ASSERT_TRUE(WIFSTOPPED(status));
  fs::create_directory(out());
  testing::write_file(out() / "of-somebody-else", "x");
  ::kill(program.pid(), SIGCONT);
  const RunResult run = program.wait();
  EXPECT_EQ(run.code, 4);
  EXPECT_NE(run.err.find("appeared while this run was writing; it was not replaced"),
            std::string::npos)
      << run.err;
  EXPECT_EQ(snapshot(out()), (testing::Files{{"of-somebody-else", "x"}}));
}

TEST_F(FailingCall, ClosedStandardStreams) {
  // What is printed must not get into a file that has the number of a closed stream.
  const RunResult closed = testing::run_program(sanitize(), [] {
    for (const int fd : {0, 1, 2}) ::close(fd);
  });
  EXPECT_EQ(closed.code, 4);
  EXPECT_TRUE(snapshot(out()) == expected_);
  fs::remove_all(out());
  const RunResult quiet = testing::run_program(sanitize({"-q"}), [] {
    for (const int fd : {0, 1, 2}) ::close(fd);
  });
  expect_same_output(quiet);
}

TEST_F(FailingCall, ReaderOfTheOutputThatGoesAway) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  ::close(pipe[0]);
  const RunResult run =
      testing::run_program({"inspect", "--base", base(), "--unlearned", unlearned(), "--json"},
                           [end = pipe[1]] { ::dup2(end, STDOUT_FILENO); });
  ::close(pipe[1]);
  EXPECT_EQ(run.signal, 0);
  EXPECT_EQ(run.code, 4);
  EXPECT_EQ(run.err, "sagesan: error: standard output: cannot write\n");
}

}  // namespace
}  // namespace sagesan
