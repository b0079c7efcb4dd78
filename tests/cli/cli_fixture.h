#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/run.h"
#include "helpers/files.h"
#include "helpers/tiny_model.h"

namespace sagesan::testing {

/// A directory with a tiny pair (base/, unlearned/) and retain.jsonl, on which the program runs.
class CliTest : public ::testing::Test {
 protected:
  void make_pair(const TinyModel& model = {}) {
    make_base(base(), model);
    make_unlearned(unlearned(), model);
    write_file(retain(), tiny_records(5, 20, model.vocabulary));
  }
  std::filesystem::path base() const { return root_ / "base"; }
  std::filesystem::path unlearned() const { return root_ / "unlearned"; }
  std::filesystem::path retain() const { return root_ / "retain.jsonl"; }
  std::filesystem::path out() const { return root_ / "out"; }

  Arguments sanitize(const Arguments& more = {}) const {
    return joined({"sanitize", "--base", base(), "--unlearned", unlearned(), "--retain", retain(),
                   "--out", out(), "--device", "cpu", "--threads", "1"},
                  more);
  }

  /// Changes config.json of a checkpoint.
  static void edit_config(const std::filesystem::path& directory,
                          const std::function<void(nlohmann::json&)>& edit) {
    nlohmann::json config = nlohmann::json::parse(read_file(directory / "config.json"));
    edit(config);
    write_file(directory / "config.json", config.dump());
  }

  /// The run must end with `code` and `lines` lines of error, print nothing on stdout and change
  /// nothing on the disk. Returns stderr.
  std::string refuse_lines(const Arguments& arguments, int code, int64_t lines) {
    const auto before = snapshot(root_.path());
    const RunResult run = run_program(arguments);
    EXPECT_EQ(run.signal, 0) << run.err;
    EXPECT_EQ(run.code, code) << run.err;
    EXPECT_EQ(run.out, "");
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), lines) << run.err;
    std::istringstream each(run.err);
    for (std::string line; std::getline(each, line);) {
      EXPECT_TRUE(line.starts_with("sagesan: error: ")) << line;
    }
    const bool unchanged = snapshot(root_.path()) == before;
    EXPECT_TRUE(unchanged) << "files were changed, removed or left behind";
    return run.err;
  }

  /// The same with one line, which holds every one of `fragments`.
  std::string refuse(const Arguments& arguments, int code,
                     const std::vector<std::string>& fragments) {
    const std::string error = refuse_lines(arguments, code, 1);
    for (const std::string& fragment : fragments) {
      EXPECT_NE(error.find(fragment), std::string::npos)
          << "'" << fragment << "' is not in: " << error;
    }
    return error;
  }

  /// The run must succeed without a word on stderr. Returns stdout.
  static std::string succeed(const Arguments& arguments) {
    const RunResult run = run_program(arguments);
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_EQ(run.err, "");
    return run.out;
  }

  TemporaryDirectory root_;
};

}  // namespace sagesan::testing
