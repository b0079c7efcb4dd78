#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/batch_fixture.h"

namespace sagesan::testing {

/// Three jobs, to be stopped and run again.
class BatchResume : public BatchTest {
 protected:
  /// Two that share moments, one with texts of its own; second copies of a report.
  void write_three() {
    write_manifest({job("a", {{"report", "a.json"}}),
                    job("b", {{"strength", 3}, {"report", "b.json"}}),
                    job("c", {{"retain", "other.jsonl"}})});
  }
  Arguments resumable() const { return batch({"-q", "--summary", summary()}); }
  /// Everything but the summary, whose states and times may differ.
  std::map<std::string, std::string> files() const {
    auto result = snapshot(root_.path());
    result.erase("summary.json");
    return result;
  }
  /// An older output of each job, to be replaced.
  void make_old_outputs() {
    write_manifest(
        {job("a", {{"energy", 0.5}}), job("b", {{"energy", 0.5}}), job("c", {{"energy", 0.5}})});
    run(0);
  }
  void remove_outputs() const {
    for (const char* name : {"a", "b", "c"}) std::filesystem::remove_all(clean(name));
    for (const char* name : {"a.json", "b.json", "summary.json"})
      std::filesystem::remove(root_ / name);
  }
  /// The summary, where there is one, must be whole at any time.
  void expect_valid_summary() const {
    if (!std::filesystem::exists(summary())) return;
    EXPECT_EQ(nlohmann::json::parse(read_file(summary()))["jobs"].size(), 3U);
  }
};

}  // namespace sagesan::testing
