#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sagesan/jobs/sanitize.h"
#include "sagesan/support/error.h"
#include "sagesan/support/json.h"
#include "sagesan/support/progress.h"

namespace sagesan {

/// One pair to be sanitized.
struct BatchJob {
  std::string name;  ///< unique, for messages and the summary
  SanitizeOptions options;
};

struct BatchOptions {
  std::vector<BatchJob> jobs;
  /// Where moments lie that several jobs share; made where it is missing.
  std::filesystem::path cache;
  /// Whether `cache` is this batch's alone: then it goes at the end with all its moments. Of
  /// another's only those of these jobs are removed.
  bool own_cache = true;
  bool keep_moments = false;
  std::filesystem::path summary;  ///< replaced after every job; empty: none
  bool overwrite = false;         ///< of outputs made with other options or inputs
  bool dry_run = false;
};

enum class BatchStatus {
  kPending,  ///< not begun, or stopped in the middle
  kDone,     ///< in a dry run: would be
  kSkipped,  ///< the output was there already, of the same options and inputs
  kFailed,
};

struct BatchJobResult {
  std::string name;
  std::filesystem::path out;
  BatchStatus status = BatchStatus::kPending;
  Failure failure;  ///< of failed ones
  /// From the report; absent where it has none.
  std::optional<int64_t> changed, target_missed;
  std::optional<double> kept_bias, kept_norm;
  double seconds = 0;
};

struct BatchResult {
  std::vector<BatchJobResult> jobs;  ///< in the order of the manifest
  bool dry_run = false;
  bool interrupted = false;
  std::optional<Failure> other;  ///< of what is no job's: the summary, the moments' removal
  double seconds = 0;

  /// "done", "skipped", "failed" or "pending"; of a dry run "would run", "would skip", "failed".
  std::string_view status_name(const BatchJobResult& job) const;
  int64_t count(BatchStatus status) const;
  /// 0 where every job is done or was skipped; 130 where it was interrupted; else the worst there
  /// was: a bug before input/output before bad input before usage.
  ExitCode exit_code() const;
  /// Nothing in it but what is called seconds depends on time.
  Json to_json() const;
};

/// What the user is told while it runs; every line is printable.
struct BatchEvents {
  Progress progress;
  std::function<void(const std::string&)> status;   ///< what begins and ends
  std::function<void(const std::string&)> notice;   ///< remarks
  std::function<void(const std::string&)> failure;  ///< a line of what went wrong
};

/// Everything that a job reads.
std::vector<std::filesystem::path> job_inputs(const SanitizeOptions& options);

/// Throws `InputError` where an output (or second report, or `also`) of one job is, holds or lies
/// in what another reads or writes. One line for each.
void check_batch_outputs(const std::vector<BatchJob>& jobs,
                         const std::vector<std::filesystem::path>& also);

/// Sanitizes every pair. Moments are collected once for jobs that run the same base over the same
/// texts in the same way; each job comes out as alone, but for `layers_run` of its report. A job
/// whose output is there already, made by this version with the same options of the same inputs, is
/// skipped; one that fails is recorded and the next begins, so it returns whatever happens. Killed
/// at any point, the same batch again ends with the same outputs.
BatchResult batch(const BatchOptions& options, const BatchEvents& events);

}  // namespace sagesan
