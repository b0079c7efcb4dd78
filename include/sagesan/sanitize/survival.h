#pragma once

#include "sagesan/support/tensor.h"

namespace sagesan {

/// Sums over the rows of one weight, of which `Survival` (report/sanitize_report.h) is made.
class SurvivalSums {
 public:
  /// Rows `[rows, in]` of the base weight and of the sanitized update, both before rounding, and
  /// what the output's dtype stores of the update: Q(W0 + D') - Q(W0).
  void add(const Tensor& base, const Tensor& update, const Tensor& change);

  /// cos(Q(W0 + D') - Q(W0), D'); 0 where rounding leaves no change at all.
  double stored() const { return cosine(stored_); }
  double int8() const { return cosine(int8_); }
  double int4() const { return cosine(int4_); }
  /// Whether the update is 0, so that there is nothing to survive.
  bool empty() const { return squared_norm_ == 0; }

 private:
  struct Sums {
    double along = 0;         ///< <Q(W0 + D') - Q(W0), D'>
    double squared_norm = 0;  ///< ||Q(W0 + D') - Q(W0)||^2
    void add(const Tensor& change, const Tensor& update);
  };
  void add_rows(const Tensor& base, const Tensor& update, const Tensor& change);
  double cosine(const Sums& sums) const;

  double squared_norm_ = 0;  ///< ||D'||^2
  Sums stored_, int8_, int4_;
};

}  // namespace sagesan
