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

/// Triangular, of S itself, float64 `[channels, channels]`. It stays what it is, unless rounding
/// has left an eigenvalue below zero (`kMomentRounding`): then S gets as little of its diagonal
/// more as makes it positive definite, for good.
MomentRoot root_of_matrix(Tensor& matrix, const std::string& site);

}  // namespace sagesan
