#pragma once

#include <string>

#include "sagesan/report/sanitize_report.h"

namespace sagesan {

// The sections of the page on one sanitize report, as HTML; empty where the report lacks what they
// show.

/// How --auto came to the options; empty without a search.
std::string search_section(const SanitizeReport& report);
/// Heat maps of the linear modules' bias, before and after, by layer and module.
std::string bias_section(const SanitizeReport& report);
/// The norm of the update by layer, before and after; how much of it survives rounding.
std::string update_section(const SanitizeReport& report);
/// Rank, leading direction and largest token of each observed site.
std::string site_section(const SanitizeReport& report);
/// The table of tensors.
std::string tensor_section(const SanitizeReport& report);
/// Options, inputs, hashes and version.
std::string provenance_section(const SanitizeReport& report, const std::string& tool_version);

/// The figures of an evaluation's JSON, a column a model. Throws `InputError`, which `where` opens.
std::string metrics_section(const Json& evaluation, const std::string& where);
/// Generated answers beside the expected ones, where the evaluation has some.
std::string answers_section(const Json& evaluation, const std::string& where);

}  // namespace sagesan
