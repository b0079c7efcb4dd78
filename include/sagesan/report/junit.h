#pragma once

#include <string>
#include <vector>

#include "sagesan/report/check.h"

namespace sagesan {

/// JUnit XML, as CI systems read it: one suite named `suite`, one test case a rule. No times: equal
/// checks give equal files.
std::string junit_xml(const std::string& suite, const std::vector<CheckOutcome>& outcomes);

}  // namespace sagesan
