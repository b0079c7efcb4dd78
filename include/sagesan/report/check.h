#pragma once

#include <string>
#include <vector>

#include "sagesan/report/figures.h"

namespace sagesan {

/// A bound on one figure.
struct CheckRule {
  std::string figure;  ///< its name in `ReportFigures`
  bool at_most = true;
  double bound = 0;

  /// "bias_after.max <= 0.01"
  std::string text() const;
};

/// What came of one rule.
struct CheckOutcome {
  std::string rule;  ///< the same for equal rules, whatever was measured
  bool passed = false;
  std::string measured;  ///< the value and whose it is; against an earlier report the bound, too

  /// "ok      RULE: MEASURED" or "FAILED  ...", printable.
  std::string line() const;
};

/// Throws `InputError` where the report lacks the figure.
CheckOutcome check_rule(const CheckRule& rule, const ReportFigures& report);

/// One outcome for each figure that both reports have, and one for all tensors' biases: none may be
/// worse than the earlier by more than `tolerance` of that one's size (0.05: 5 %); where no side is
/// the better one, they may differ by as much. Throws `InputError` where they have none in common.
std::vector<CheckOutcome> check_against(const ReportFigures& report, const ReportFigures& earlier,
                                        double tolerance);

}  // namespace sagesan
