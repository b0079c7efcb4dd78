#pragma once

#include <string>

#include "sagesan/activations/moments.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// R with S = R R^T.
struct MomentRoot {
  Tensor values;  ///< float32 `[channels, tokens or channels]`
  bool is_lower_triangular = false;

  /// M R for `m` float32 `[out, channels]`; of a triangular root in little more than half of the
  /// operations.
  Tensor image(const Tensor& m) const;
  /// trace(M S M^T): a sum of squares, so nothing cancels.
  double response(const Tensor& m) const;
};

/// Of a moment: its rows where it keeps them, else triangular. Throws `Error` that names `site`
/// where there is none.
MomentRoot root_of_moment(const SecondMoment& moment, const std::string& site);

/// Triangular, of S = `sum` / `weight`, float64 `[channels, channels]`. The sum stays what it is,
/// unless rounding has left an eigenvalue below zero (`kMomentRounding`): then `sum` becomes
/// another matrix, with as little of its diagonal more as makes it positive definite.
MomentRoot root_of_sum(Tensor& sum, double weight, const std::string& site);

}  // namespace sagesan
