#pragma once

#include <cstddef>
#include <vector>

#include "sagesan/jobs/batch.h"

namespace sagesan {

/// Jobs of one base, texts and way of reading them.
struct BatchGroup {
  std::vector<size_t> jobs;  ///< indices, in the order of the manifest
  /// Whether moments are collected for them: there are several, and each runs the base. This goes
  /// by the manifest, whatever of it is done already, so that a resumed batch does the same.
  bool shares_moments = false;
};

/// In the order of their first jobs.
std::vector<BatchGroup> group_jobs(const std::vector<BatchJob>& jobs);

/// Whether a job runs its base over retain texts.
bool can_share_moments(const SanitizeOptions& options);

/// A hash of where the base and the texts lie and of how they are read: jobs that can share moments
/// and have the same one do.
std::string text_key(const SanitizeOptions& options);

}  // namespace sagesan
