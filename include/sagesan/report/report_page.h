#pragma once

#include <string>

#include "sagesan/report/sanitize_report.h"

namespace sagesan {

/// What may be shown besides the report.
struct PageExtras {
  std::string tool_version = SAGESAN_VERSION;  ///< that made the report
  const Json* evaluation = nullptr;            ///< of `evaluate`, or null
  std::string evaluation_name;                 ///< its file, for messages
};

/// One self-contained HTML page on a sanitize report: bias, spectra, norms, tensors, provenance,
/// and the figures and answers of an evaluation. A function of its arguments alone. Throws
/// `InputError` where the evaluation is none.
std::string report_page(const SanitizeReport& report, const PageExtras& extras = {});

}  // namespace sagesan
