#pragma once

#include "sagesan/jobs/sanitize.h"
#include "sagesan/report/sanitize_report.h"

namespace sagesan {

struct FoundOptions {
  SanitizeOptions options;  ///< those that were searched from, with what was found
  SearchReport search;
};

/// Throws what `search_options` would before it runs a model.
void check_search(const SanitizeOptions& options);

/// `--auto`: finds method, strength and gain by trying candidates in memory, in two rounds. One
/// half of the retain and of the forget texts is what the candidates are made with, the other half
/// is what they are judged by; at most 4096 tokens of each. Taken is the one with the least retain
/// loss among those that keep enough of the forgetting; uniform scaling is among them. The same
/// inputs give the same path. Throws `InputError` where texts are too few to be halved, and as
/// `sweep`.
FoundOptions search_options(const SanitizeOptions& options, const Progress& progress);

}  // namespace sagesan
