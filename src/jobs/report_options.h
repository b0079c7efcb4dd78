#pragma once

#include <string>

#include "sagesan/activations/moments_file.h"
#include "sagesan/jobs/sanitize.h"

namespace sagesan {

/// What the report says of the options. `template_identity` is that of the chat template, empty
/// where there is none; `moments` is where collected moments come from, or null: they say by
/// themselves how the texts were read.
ReportOptions report_options(const SanitizeOptions& options, const std::string& template_identity,
                             const MomentsOrigin* moments);

/// A hash of what says how a model runs and how it reads texts: its configuration, its tokenizer
/// and its chat template, and what of them is missing.
std::string configuration_identity(const std::filesystem::path& model);

}  // namespace sagesan
