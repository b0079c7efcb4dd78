#pragma once

#include <string>

#include "leading_eigen.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// Eigenpairs of a second moment, float64 `[channels, channels]`: those that hold the share
/// `energy` of its trace, and mostly all others. Values are float64, vectors float32 or float64:
/// what is cheapest of the leading pairs alone, all of them in float32, all of them in float64, and
/// does. Throws `Error` that names `site` where the residual says that it failed: LAPACK's own
/// `info` is no proof (OpenBLAS 0.3.21 says success on NaN).
EigenPairs eigen_of_moment(const Tensor& matrix, double energy, const std::string& site);

}  // namespace sagesan
