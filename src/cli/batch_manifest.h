#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "sagesan/jobs/batch.h"

namespace sagesan::cli {

/// Reads the jobs of a manifest:
///
///     {"defaults": {"base": "base", "retain": ["retain.jsonl"], "strength": 1},
///      "jobs": [{"name": "npo", "unlearned": "npo", "out": "clean/npo", "strength": 2}]}
///
/// A job has the options of `sanitize` under their long names, numbers as numbers and what is
/// repeatable as a list, and is checked as the command line is. What it says itself wins over the
/// defaults and over its opposite there (`target-bias` over `strength`); null takes a default away.
/// File names are relative to the manifest's directory; the name is the output's where none is
/// given.
///
/// Throws `InputError` for what is no manifest and one `Error` with a line for each problem of the
/// jobs. `also` are paths that no job may write to (`check_batch_outputs`).
std::vector<BatchJob> read_manifest(const std::filesystem::path& manifest,
                                    const std::vector<std::filesystem::path>& also);

}  // namespace sagesan::cli
