#include <algorithm>
#include <nlohmann/json.hpp>

#include "sagesan/jobs/batch.h"
#include "sagesan/support/optional_json.h"

namespace sagesan {

std::string_view BatchResult::status_name(const BatchJobResult& job) const {
  switch (job.status) {
    case BatchStatus::kDone:
      return dry_run ? "would run" : "done";
    case BatchStatus::kSkipped:
      return dry_run ? "would skip" : "skipped";
    case BatchStatus::kFailed:
      return "failed";
    case BatchStatus::kPending:
      break;
  }
  return "pending";
}

int64_t BatchResult::count(BatchStatus status) const {
  return std::count_if(jobs.begin(), jobs.end(),
                       [&](const BatchJobResult& job) { return job.status == status; });
}

ExitCode BatchResult::exit_code() const {
  if (interrupted) return ExitCode::kInterrupted;
  const auto ended_with = [&](ExitCode code) {
    return (other && other->code == code) ||
           std::any_of(jobs.begin(), jobs.end(), [&](const BatchJobResult& job) {
             return job.status == BatchStatus::kFailed && job.failure.code == code;
           });
  };
  for (const ExitCode code : {ExitCode::kInternal, ExitCode::kInputOutput, ExitCode::kBadInput,
                              ExitCode::kUsage, ExitCode::kCheckFailed}) {
    if (ended_with(code)) return code;
  }
  return ExitCode::kDone;
}

Json BatchResult::to_json() const {
  Json json = {{"schema_version", 1},
               {"tool", {{"name", "sagesan"}, {"version", SAGESAN_VERSION}}},
               {"dry_run", dry_run},
               {"interrupted", interrupted},
               {"exit_code", static_cast<int>(exit_code())},
               {"error", other ? Json(other->message) : Json(nullptr)},
               {"counts",
                {{"done", count(BatchStatus::kDone)},
                 {"skipped", count(BatchStatus::kSkipped)},
                 {"failed", count(BatchStatus::kFailed)},
                 {"pending", count(BatchStatus::kPending)}}},
               {"seconds", seconds},
               {"jobs", Json::array()}};
  for (const BatchJobResult& job : jobs) {
    const bool failed = job.status == BatchStatus::kFailed;
    // A name of a file need not be UTF-8, which JSON must be.
    json["jobs"].push_back({{"name", job.name},
                            {"out", printable(job.out.string())},
                            {"status", status_name(job)},
                            {"error", failed ? Json(job.failure.message) : Json(nullptr)},
                            {"exit_code", failed ? static_cast<int>(job.failure.code) : 0},
                            {"changed_tensors", or_null(job.changed)},
                            {"target_missed", or_null(job.target_missed)},
                            {"kept_bias", or_null(job.kept_bias)},
                            {"kept_norm", or_null(job.kept_norm)},
                            {"seconds", job.seconds}});
  }
  return json;
}

}  // namespace sagesan
