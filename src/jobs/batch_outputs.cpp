#include <fmt/format.h>

#include <map>

#include "sagesan/jobs/batch.h"
#include "sagesan/support/error.h"
#include "sagesan/support/file.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;

/// One path that a job reads or writes, links followed.
struct Use {
  size_t job = 0;
  std::string what;
};

/// Every path in use, and for each folder above one of them some path that lies in it.
class Paths {
 public:
  /// A read path may be there several times.
  void add(const fs::path& path, const Use& use) {
    const fs::path place = resolve_path(path);
    uses_.emplace(place, use);
    for (fs::path above = place.parent_path(); above.has_relative_path();
         above = above.parent_path())
      inside_.emplace(above, use);
  }
  /// What is at `path`, above it or in it; null where there is nothing.
  const Use* find(const fs::path& path) const {
    const fs::path place = resolve_path(path);
    for (fs::path above = place; above.has_relative_path(); above = above.parent_path()) {
      const auto found = uses_.find(above);
      if (found != uses_.end()) return &found->second;
    }
    const auto within = inside_.find(place);
    return within == inside_.end() ? nullptr : &within->second;
  }

 private:
  std::map<fs::path, Use> uses_, inside_;
};

Paths read_paths(const std::vector<BatchJob>& jobs, const std::vector<fs::path>& also) {
  Paths paths;
  for (const fs::path& path : also) paths.add(path, {jobs.size(), printable(path.string())});
  for (size_t i = 0; i < jobs.size(); ++i) {
    const SanitizeOptions& options = jobs[i].options;
    paths.add(options.base, {i, "the base"});
    paths.add(options.unlearned, {i, "the unlearned checkpoint"});
    for (const fs::path& file : options.retain) paths.add(file, {i, "a retain file"});
    for (const fs::path& path : job_inputs(options)) paths.add(path, {i, "an input"});
  }
  return paths;
}

}  // namespace

std::vector<fs::path> job_inputs(const SanitizeOptions& options) {
  std::vector<fs::path> inputs = options.retain;
  inputs.insert(inputs.end(), options.forget.begin(), options.forget.end());
  inputs.push_back(options.base);
  inputs.push_back(options.unlearned);
  inputs.insert(inputs.end(), options.adapters.begin(), options.adapters.end());
  if (!options.moments.empty()) inputs.push_back(options.moments);
  if (fs::is_regular_file(options.rendering.chat_template))
    inputs.emplace_back(options.rendering.chat_template);
  return inputs;
}

void check_batch_outputs(const std::vector<BatchJob>& jobs, const std::vector<fs::path>& also) {
  const Paths read = read_paths(jobs, also);
  Paths written;
  std::string problems;
  const auto check = [&](size_t job, const char* option, const fs::path& path, const Use& use) {
    const Use* other = read.find(path);
    if (other == nullptr) other = written.find(path);
    if (other != nullptr) {
      const std::string whose =
          other->job == job || other->job == jobs.size()
              ? other->what
              : fmt::format("{} of job {}", other->what, printable(jobs[other->job].name));
      problems +=
          fmt::format("{}job {}: {} {}: must lie outside {}, which the batch reads or writes",
                      problems.empty() ? "" : "\n", printable(jobs[job].name), option,
                      printable(path.string()), whose);
    }
    written.add(path, use);
  };
  for (size_t i = 0; i < jobs.size(); ++i) {
    check(i, "--out", jobs[i].options.out, {i, "the output"});
    if (!jobs[i].options.report.empty())
      check(i, "--report", jobs[i].options.report, {i, "the report"});
    if (!jobs[i].options.html.empty()) check(i, "--html", jobs[i].options.html, {i, "the page"});
  }
  if (!problems.empty()) throw Error(ExitCode::kBadInput, problems);
}

}  // namespace sagesan
