#pragma once

#include "sagesan/support/tensor.h"

namespace sagesan {

/// Fixed vectors `[columns of matrix, 4]`, float64, that no eigenvector lines up with:
/// quasi-random, the same on every machine. What should be zero is, if it is on them.
Tensor probe_vectors(const Tensor& matrix);

}  // namespace sagesan
