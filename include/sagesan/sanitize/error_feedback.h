#pragma once

#include <string>

#include "sagesan/activations/moments.h"
#include "sagesan/support/dtype.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// What `--rounding feedback` needs of a site's second moment S: the upper Cholesky factor of
/// (S + 0.01 trace(S)/d I)^-1, float32 `[channels, channels]`, as GPTQ (arXiv:2210.17323, section
/// 3.3) damps and factorizes. Computed in float64. Throws `Error` that names `site` where the
/// moment is zero or a factorization fails its residual check.
Tensor feedback_factor(const SecondMoment& moment, const std::string& site);

/// `w` float32 `[rows, channels]` rounded to `dtype`, one column after the other: what rounding a
/// column does to the outputs is made up for in the columns that follow, so that trace(E S E^T) of
/// the errors E is less than with rounding to the nearest. What `dtype` holds already stays as it
/// is. In `scalar_type(dtype)`.
Tensor round_with_feedback(const Tensor& w, const Tensor& factor, DType dtype);

}  // namespace sagesan
