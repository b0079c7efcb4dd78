#pragma once

#include <Eigen/Dense>
#include <cstdint>

#include "sagesan/support/tensor.h"

namespace sagesan::testing {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

/// Normally distributed numbers from a fixed generator (Box-Muller on a 64-bit LCG): the same
/// everywhere.
inline Matrix random_matrix(int64_t rows, int64_t columns, uint64_t seed) {
  uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
  const auto uniform = [&] {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (static_cast<double>(state >> 11) + 0.5) / 9007199254740992.0;
  };
  Matrix result(rows, columns);
  for (int64_t i = 0; i < result.size(); ++i) {
    result.data()[i] = std::sqrt(-2 * std::log(uniform())) * std::cos(2 * M_PI * uniform());
  }
  return result;
}

/// Tokens `[tokens, channels]` whose second moment has eigenvalues that fall off, as real ones do.
inline Matrix random_inputs(int64_t tokens, int64_t channels, uint64_t seed) {
  Matrix scale = Matrix::Zero(channels, channels);
  for (int64_t i = 0; i < channels; ++i) scale(i, i) = std::pow(i + 1.0, -0.75);
  const Matrix rotation =
      Eigen::HouseholderQR<Matrix>(random_matrix(channels, channels, seed + 1)).householderQ();
  return random_matrix(tokens, channels, seed) * scale * rotation;
}

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
