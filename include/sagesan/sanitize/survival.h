#pragma once

#include "sagesan/support/tensor.h"

namespace sagesan {

/// Sums over the rows of one weight, of which `Survival` (report/sanitize_report.h) is made.
struct SurvivalSums {
  double squared_norm = 0;                ///< ||D'||^2
  double stored = 0, int8 = 0, int4 = 0;  ///< <Q(W0 + D') - Q(W0), D'>

  /// Rows `[rows, in]` of the base weight and of the sanitized update, both before rounding, and
  /// of their sum in the output's dtype.
  void add(const Tensor& base, const Tensor& update, const Tensor& result);
};

}  // namespace sagesan
