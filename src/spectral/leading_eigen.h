#pragma once

#include <optional>

#include "sagesan/support/tensor.h"

namespace sagesan {

/// Eigenpairs of a symmetric matrix, largest first.
struct EigenPairs {
  Tensor values;   ///< `[count]`
  Tensor vectors;  ///< `[channels, count]`
  /// Largest error, against the largest eigenvalue.
  double residual;
};

/// The largest eigenvalues of `matrix` (float64 `[channels, channels]`, symmetric, no eigenvalue
/// negative) that hold the share `energy` of its trace, from a block Krylov space (Musco and Musco
/// 2015) of at most `3 * most` columns. Every pair has a residual |S u - l u| below 1e-5 of the
/// smallest eigenvalue. Nothing where more than `most` pairs are needed, or they do not converge:
/// that costs a tenth of a full decomposition at most where `most` is a tenth of the channels.
std::optional<EigenPairs> leading_eigen(const Tensor& matrix, double energy, int64_t most);

}  // namespace sagesan
