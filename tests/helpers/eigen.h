#pragma once

#include <Eigen/Core>
#include <cstdint>

#include "sagesan/support/tensor.h"

namespace sagesan::testing {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

// Eigen's decompositions take ten seconds to compile in each file: they are in eigen.cpp alone.

/// Normally distributed numbers from a fixed generator (Box-Muller on a 64-bit LCG): the same
/// everywhere.
Matrix random_matrix(int64_t rows, int64_t columns, uint64_t seed);
/// Tokens `[tokens, channels]` whose second moment has eigenvalues that fall off, as real ones do.
Matrix random_inputs(int64_t tokens, int64_t channels, uint64_t seed);
/// The bias `trace(D S D^T)` of an update `d` `[out, channels]` on inputs of the second moment
/// `moment`.
inline double bias_of(const Matrix& d, const Matrix& moment) {
  return (d * moment * d.transpose()).trace();
}

struct Spectrum {
  Vector values;   ///< ascending
  Matrix vectors;  ///< columns
};
Spectrum spectrum(const Matrix& symmetric);
/// Descending.
Vector singular_values(const Matrix& m);
/// X with X `system` = `d`, where `system` is symmetric and positive definite.
Matrix divide(const Matrix& d, const Matrix& system);

inline Tensor to_tensor(const Matrix& m, at::ScalarType type = at::kFloat) {
  return at::from_blob(const_cast<double*>(m.data()), {m.rows(), m.cols()},
                       at::TensorOptions().dtype(at::kDouble))
      .to(type, false, true);
}

inline Matrix to_eigen(const Tensor& t) {
  const Tensor wide = t.to(at::kDouble).cpu().contiguous();
  const int64_t columns = wide.dim() == 2 ? wide.size(1) : 1;
  return Eigen::Map<const Matrix>(wide.data_ptr<double>(), wide.size(0), columns);
}

/// |a - b| / |b|, Frobenius.
inline double relative_error(const Matrix& a, const Matrix& b) { return (a - b).norm() / b.norm(); }

}  // namespace sagesan::testing
