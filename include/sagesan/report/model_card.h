#pragma once

#include <string>

#include "sagesan/report/sanitize_report.h"

namespace sagesan {

/// README.md of an output, as model hubs show it: what was done, with which figures, from which
/// inputs (by their identities: no paths, no times).
std::string model_card(const SanitizeReport& report);

}  // namespace sagesan
