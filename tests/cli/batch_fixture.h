#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cli/cli_fixture.h"

namespace sagesan::testing {

/// One base, unlearned models a, b and c of it, two retain files, and a manifest beside them.
class BatchTest : public CliTest {
 protected:
  BatchTest() {
    TinyModel model;
    make_base(base(), model);
    write_file(retain(), tiny_records(5, 20, model.vocabulary));
    write_file(root_ / "other.jsonl", tiny_records(4, 25, model.vocabulary, 9));
    for (const char* name : {"a", "b", "c"}) {
      make_unlearned(root_ / name, model);
      model.noise *= 2;
    }
  }
  std::filesystem::path manifest() const { return root_ / "batch.json"; }
  std::filesystem::path summary() const { return root_ / "summary.json"; }
  std::filesystem::path clean(const std::string& job) const { return root_ / ("clean_" + job); }
  /// A job of the unlearned model `name`.
  static nlohmann::json job(const std::string& name, nlohmann::json more = {}) {
    nlohmann::json result = {{"name", name}, {"unlearned", name}, {"out", "clean_" + name}};
    if (more.is_object()) result.update(more);
    return result;
  }
  void write_manifest(const nlohmann::json& jobs, nlohmann::json defaults = {}) const {
    nlohmann::json all = {{"base", "base"}, {"retain", {"retain.jsonl"}}};
    if (defaults.is_object()) all.update(defaults);
    write_file(manifest(),
               nlohmann::json{{"defaults", all},
                              {"jobs", jobs.is_object() ? nlohmann::json::array({jobs}) : jobs}}
                   .dump());
  }
  Arguments batch(const Arguments& more = {}) const {
    return joined({"batch", manifest(), "--device", "cpu", "--threads", "1"}, more);
  }
  /// Runs it quietly; it must end with `code`. Returns the summary.
  nlohmann::json run(int code, const Arguments& more = {}) const {
    const RunResult result = run_program(batch(joined({"--json", "-q"}, more)));
    EXPECT_EQ(result.code, code) << result.err;
    errors_ = result.err;
    return nlohmann::json::parse(result.out);
  }
  static std::vector<std::string> statuses(const nlohmann::json& summary) {
    std::vector<std::string> result;
    for (const nlohmann::json& job : summary["jobs"]) result.push_back(job["status"]);
    return result;
  }
  /// What `sanitize` alone makes of the job; the report but for `layers_run`.
  void expect_as_alone(const std::string& name, const Arguments& more) const {
    const auto alone = root_ / ("alone_" + name);
    succeed(joined({"sanitize", "--base", base(), "--unlearned", root_ / name, "--out", alone,
                    "--device", "cpu", "--threads", "1", "-q"},
                   more));
    EXPECT_TRUE(read_file(clean(name) / "model.safetensors") ==
                read_file(alone / "model.safetensors"))
        << name;
    nlohmann::json report = nlohmann::json::parse(read_file(alone / "sagesan_report.json"));
    nlohmann::json shared = nlohmann::json::parse(read_file(clean(name) / "sagesan_report.json"));
    report.erase("layers_run");
    shared.erase("layers_run");
    EXPECT_EQ(shared, report) << name;
  }

  mutable std::string errors_;
};

using Words = std::vector<std::string>;

}  // namespace sagesan::testing
