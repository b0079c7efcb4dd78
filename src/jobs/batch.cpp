#include "sagesan/jobs/batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "batch_groups.h"
#include "finished_outputs.h"
#include "moments_cache.h"
#include "sagesan/report/read_report.h"
#include "sagesan/report/report_page.h"
#include "sagesan/support/atomic_file.h"
#include "sagesan/support/file.h"
#include "sagesan/support/output_directory.h"
#include "sanitize_inputs.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kMostReportBytes = uint64_t{1} << 30;

/// Writes `text` to `path` unless it stands there.
void provide_copy(const fs::path& path, const std::string& text, const SanitizeOptions& options) {
  if (fs::is_regular_file(path) && read_text_file(path, kMostReportBytes) == text) return;
  check_text_file_target(path, job_inputs(options));
  replace_text_file(path, text);
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void add_figures(const Json& report, BatchJobResult& result) {
  const auto read = [&]<typename T>(const char* key, std::optional<T>& value) {
    const Json::json_pointer place(std::string("/summary/") + key);
    if (!report.contains(place)) return;
    const Json& figure = report.at(place);
    // The report may be a stranger's.
    const bool fits = std::is_integral_v<T>
                          ? figure.is_number_integer()
                          : figure.is_number() && std::isfinite(figure.get<double>());
    if (fits) value = figure.get<T>();
  };
  read("changed", result.changed);
  read("target_missed", result.target_missed);
  read("linear_kept_bias", result.kept_bias);
  read("kept_update_norm", result.kept_norm);
}

/// Runs the groups one after the other.
class BatchRun {
 public:
  BatchRun(const BatchOptions& options, const BatchEvents& events)
      : options_(options), events_(events), cache_(options, events), finished_(events.progress) {
    result_.dry_run = options.dry_run;
    for (const BatchJob& job : options.jobs)
      result_.jobs.push_back({.name = job.name, .out = job.options.out});
  }
  BatchResult run();

 private:
  void run_all();
  void run_group(const BatchGroup& group);
  /// Records what `step` throws; an interruption goes on to the caller.
  bool attempt(size_t job, const std::function<void()>& step);
  void fail(size_t job, const Failure& failure);
  /// Whether the output is there already.
  bool skip(size_t job);
  /// Collects the moments of a group for the jobs `rest`; none where it fails, and then they did.
  fs::path share_moments(const BatchGroup& group, std::vector<size_t>& rest);
  void sanitize_one(size_t job, const fs::path& moments);
  void remove_moments(const std::vector<BatchGroup>& groups);
  void finish(size_t job, BatchStatus status, const Json& report);
  void write_summary();
  std::string title(size_t job) const { return "job " + printable(options_.jobs[job].name); }
  std::string place(size_t job) const {
    return fmt::format("{} ({} of {})", title(job), job + 1, options_.jobs.size());
  }
  std::function<void(const std::string&)> notice(size_t job) const {
    return [this, job](const std::string& line) { events_.notice(title(job) + ": " + line); };
  }

  const BatchOptions& options_;
  const BatchEvents& events_;
  MomentsCache cache_;
  FinishedOutputs finished_;
  BatchResult result_;
  std::optional<Failure> unwritten_;  ///< why the last summary was not written
  Clock::time_point started_ = Clock::now();
};

BatchResult BatchRun::run() {
  try {
    run_all();
  } catch (...) {
    const Failure failure = current_failure();
    result_.interrupted = failure.code == ExitCode::kInterrupted;
    if (!result_.interrupted) result_.other = failure;
  }
  write_summary();
  if (unwritten_ && !result_.other) result_.other = unwritten_;
  return std::move(result_);
}

void BatchRun::run_all() {
  std::vector<fs::path> also = {options_.cache};
  if (!options_.summary.empty()) also.push_back(options_.summary);
  check_batch_outputs(options_.jobs, also);
  write_summary();
  const std::vector<BatchGroup> groups = group_jobs(options_.jobs);
  if (std::any_of(groups.begin(), groups.end(),
                  [](const BatchGroup& group) { return group.shares_moments; }))
    cache_.check();
  for (const BatchGroup& group : groups) run_group(group);
  if (!options_.dry_run) remove_moments(groups);
}

void BatchRun::run_group(const BatchGroup& group) {
  std::vector<size_t> rest;
  for (const size_t job : group.jobs) {
    if (events_.progress) events_.progress("check", 0, 1);  // a signal may have come
    attempt(job, [&] {
      if (!skip(job)) rest.push_back(job);
    });
  }
  const fs::path moments = share_moments(group, rest);
  for (const size_t job : rest) attempt(job, [&] { sanitize_one(job, moments); });
  if (!moments.empty()) cache_.release(moments);
}

bool BatchRun::attempt(size_t job, const std::function<void()>& step) {
  const auto begun = Clock::now();
  const auto stop_clock = [&] { result_.jobs[job].seconds += seconds_since(begun); };
  try {
    step();
    stop_clock();
    return true;
  } catch (...) {
    stop_clock();
    const Failure failure = current_failure();
    if (failure.code == ExitCode::kInterrupted) throw;
    fail(job, failure);
    return false;
  }
}

void BatchRun::fail(size_t job, const Failure& failure) {
  result_.jobs[job].status = BatchStatus::kFailed;
  result_.jobs[job].failure = failure;
  std::istringstream lines(failure.message);
  for (std::string line; std::getline(lines, line);) events_.failure(title(job) + ": " + line);
  write_summary();
}

bool BatchRun::skip(size_t job) {
  const SanitizeOptions& options = options_.jobs[job].options;
  if (!options_.dry_run) {
    OutputDirectory::recover(options.out, notice(job));
    if (!options.report.empty()) AtomicFile::remove_leftovers(options.report);
    if (!options.html.empty()) AtomicFile::remove_leftovers(options.html);
  }
  const std::optional<FinishedOutput> found = finished_.find(options);
  if (!found) return false;
  if (!found->difference.empty()) {
    if (options_.overwrite) return false;
    throw InputError(options.out.string(),
                     fmt::format("exists already, but {}; choose another out or pass --overwrite",
                                 found->difference));
  }
  // A run that was killed before its last steps lacks the second report, or the page.
  const fs::path report = options.out / kReportName;
  if (!options_.dry_run && !options.report.empty())
    provide_copy(options.report, read_text_file(report, kMostReportBytes), options);
  if (!options_.dry_run && !options.html.empty()) {
    const StoredReport stored = read_sanitize_report(found->report, report.string());
    provide_copy(options.html, report_page(stored.report, {.tool_version = stored.tool_version}),
                 options);
  }
  finish(job, BatchStatus::kSkipped, found->report);
  return true;
}

fs::path BatchRun::share_moments(const BatchGroup& group, std::vector<size_t>& rest) {
  if (!group.shares_moments) return {};
  // What can be known before the long part.
  std::erase_if(rest, [&](size_t job) {
    return !attempt(job, [&] {
      cache_.check_writable();
      if (options_.dry_run) return;
      SanitizeOptions options = options_.jobs[job].options;
      options.overwrite = options_.overwrite;
      open_sanitize_inputs(options);
    });
  });
  if (rest.empty() || options_.dry_run) return {};
  fs::path moments;
  try {
    const SanitizeOptions& options = options_.jobs[rest.front()].options;
    const std::string& identity = finished_.identity(options.base);
    moments = cache_.file(options, identity);
    if (!fs::exists(moments)) {
      events_.status(fmt::format("collecting the moments that {} jobs share from {}",
                                 group.jobs.size(), printable(options.base.string())));
    }
    cache_.provide(moments, options, identity);
  } catch (...) {
    const Failure failure = current_failure();
    if (failure.code == ExitCode::kInterrupted) throw;
    for (const size_t job : rest) fail(job, failure);
    rest.clear();
  }
  return moments;
}

void BatchRun::sanitize_one(size_t job, const fs::path& moments) {
  SanitizeOptions options = options_.jobs[job].options;
  options.overwrite = options_.overwrite;
  options.dry_run = options_.dry_run;
  if (!moments.empty()) {
    options.moments = moments;
    options.retain.clear();
  }
  if (!options_.dry_run) events_.status(place(job) + ": begins");
  const SanitizeResult made = sanitize(options, events_.progress, notice(job));
  finish(job, BatchStatus::kDone, made.report.to_json());
}

void BatchRun::remove_moments(const std::vector<BatchGroup>& groups) {
  // Those of a killed run whose jobs were all done.
  if (!options_.own_cache && !options_.keep_moments && cache_.exists()) {
    for (const BatchGroup& group : groups) {
      if (!group.shares_moments) continue;
      const SanitizeOptions& options = options_.jobs[group.jobs.front()].options;
      if (!fs::exists(options.base)) continue;
      cache_.release(cache_.file(options, finished_.identity(options.base)));
    }
  }
  cache_.clean();
}

void BatchRun::finish(size_t job, BatchStatus status, const Json& report) {
  BatchJobResult& result = result_.jobs[job];
  result.status = status;
  // A plan has no figures.
  if (!options_.dry_run || status == BatchStatus::kSkipped) add_figures(report, result);
  events_.status(place(job) + ": " + std::string(result_.status_name(result)));
  write_summary();
}

void BatchRun::write_summary() {
  result_.seconds = seconds_since(started_);
  if (options_.summary.empty() || options_.dry_run) return;
  try {
    replace_text_file(options_.summary, result_.to_json().dump(1) + "\n");
    unwritten_.reset();
  } catch (const Error& error) {
    // The outputs are worth more: on to the next.
    unwritten_ = Failure{error.code(), error.what()};
  }
}

}  // namespace

BatchResult batch(const BatchOptions& options, const BatchEvents& events) {
  return BatchRun(options, events).run();
}

}  // namespace sagesan
