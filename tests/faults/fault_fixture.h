#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "cli/batch_fixture.h"
#include "cli/cli_fixture.h"

namespace sagesan::testing {

using Files = std::map<std::string, std::string>;

/// Sets the environment of a child so that `faults` happen below `root` (shim.cpp). Allocates
/// nothing there but what setenv does.
inline std::function<void()> with_faults(const std::filesystem::path& root,
                                         const std::string& faults, const std::string& log = "") {
  return [faults, log, root = root.string()] {
    ::setenv("LD_PRELOAD", SAGESAN_FAULT_SHIM, 1);
    ::setenv("SAGESAN_FAULT_ROOT", root.c_str(), 1);
    ::setenv("SAGESAN_FAULT", faults.c_str(), 1);
    if (!log.empty()) ::setenv("SAGESAN_FAULT_LOG", log.c_str(), 1);
  };
}

/// Runs the program with faults.
class FaultTest : public CliTest {
 protected:
  explicit FaultTest(const TinyModel& model = {.shards = 2}) {
    make_pair(model);
    inputs_ = read_inputs();
  }
  Files read_inputs() const {
    Files files = snapshot(base());
    files.merge(snapshot(unlearned()));
    files["retain"] = read_file(retain());
    return files;
  }

  std::function<void()> with_faults(const std::string& faults, const std::string& log = "") const {
    return testing::with_faults(root_.path(), faults, log);
  }
  RunResult run_with(const std::string& faults, const Arguments& arguments) const {
    return run_program(arguments, with_faults(faults));
  }
  /// The calls that a run makes, each "NAME PATH".
  std::vector<std::string> calls_of(const Arguments& arguments) const {
    const std::string log = root_.path().string() + ".log";
    std::filesystem::remove(log);
    const RunResult run = run_program(arguments, with_faults("", log));
    EXPECT_EQ(run.code, 0) << run.err;
    std::vector<std::string> calls;
    std::istringstream lines(read_file(log));
    for (std::string line; std::getline(lines, line);) calls.push_back(line);
    std::filesystem::remove(log);
    return calls;
  }
  /// Whether it changes the disk. Calls that are not of files have no path.
  static bool is_change(const std::string& call) {
    return !call.starts_with("open ") && !call.starts_with("read ") && !call.ends_with(' ');
  }

  /// Files and folders beside the inputs and the outputs named: what a run should not leave.
  std::vector<std::string> leftovers(const std::vector<std::string>& outputs = {"out"}) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(root_.path())) {
      const std::string name = entry.path().filename().string();
      const bool known = name == "base" || name == "unlearned" || name == "retain.jsonl" ||
                         std::find(outputs.begin(), outputs.end(), name) != outputs.end();
      if (!known) names.push_back(name);
    }
    return names;
  }
  /// Exit code 4 with one line that holds `fragment`, no output and nothing else left; the inputs
  /// are as they were.
  void expect_clean_failure(const RunResult& run, const std::string& fragment, int code = 4) const {
    EXPECT_EQ(run.signal, 0) << run.err;
    EXPECT_EQ(run.code, code) << run.err;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    EXPECT_TRUE(run.err.starts_with("sagesan: error: ")) << run.err;
    EXPECT_NE(run.err.find(fragment), std::string::npos) << run.err;
    EXPECT_FALSE(std::filesystem::exists(out()));
    EXPECT_EQ(leftovers(), std::vector<std::string>{});
    EXPECT_TRUE(read_inputs() == inputs_) << "inputs were changed";
  }

  Files inputs_;
};

}  // namespace sagesan::testing
