#pragma once

#include <string>

#include "sagesan/report/sanitize_report.h"

namespace sagesan {

/// A `sagesan_report.json` that somebody else may have written.
struct StoredReport {
  SanitizeReport report;
  std::string tool_version;  ///< of the sagesan that wrote it
};

/// The inverse of `SanitizeReport::to_json`; the summary is not read, since it follows from the
/// tensors. Throws `InputError`, which `where` opens, for another schema version and for members
/// that are missing or of the wrong type; unknown members are left alone.
StoredReport read_sanitize_report(const Json& json, const std::string& where);

}  // namespace sagesan
