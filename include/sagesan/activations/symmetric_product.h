#pragma once

#include "sagesan/support/tensor.h"

namespace sagesan {

/// Adds X^T X to the upper triangle of `sum`, float64 `[n, n]`, for `x` `[any, n]`, multiplied in
/// its own dtype: in column panels, of which the lower triangle's products, nearly half, fall away.
/// Inside a panel's own columns the lower ones are summed, too.
void add_upper_product(const Tensor& sum, const Tensor& x);

/// Fills in the lower triangle of what `add_upper_product` summed.
void mirror_upper(const Tensor& sum);

/// X^T X.
Tensor symmetric_product(const Tensor& x);

}  // namespace sagesan
