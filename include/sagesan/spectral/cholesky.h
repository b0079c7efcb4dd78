#pragma once

#include <string>

#include "sagesan/support/tensor.h"

namespace sagesan {

/// Lower triangular L, with L L^T = `matrix`, of a symmetric positive definite `matrix`; its
/// diagonal is positive, so that it can be inverted. Throws `Error` that names `site` where there
/// is none. That is all that is checked: LAPACK's `info` is no proof, and a caller holds the
/// residual of what it makes of L against its own measure.
Tensor cholesky_factor(const Tensor& matrix, const std::string& site);

/// The same; undefined where there is none.
Tensor try_cholesky_factor(const Tensor& matrix);

}  // namespace sagesan
