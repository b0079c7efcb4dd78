#include "sagesan/spectral/cholesky.h"

#include <ATen/ops/linalg_cholesky_ex.h>

#include "sagesan/support/error.h"

namespace sagesan {

Tensor cholesky_factor(const Tensor& matrix, const std::string& site) {
  Tensor factor = try_cholesky_factor(matrix);
  if (!factor.defined())
    throw Error(ExitCode::kInternal, site + ": the Cholesky factorization failed");
  return factor;
}

Tensor try_cholesky_factor(const Tensor& matrix) {
  const auto [factor, info] = at::linalg_cholesky_ex(matrix);
  // NaN is not above zero either.
  if (info.item<int>() != 0 || !(factor.diagonal().min().item<double>() > 0)) return {};
  return factor;
}

}  // namespace sagesan
