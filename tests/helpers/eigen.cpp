#include "helpers/eigen.h"

#include <Eigen/Dense>
#include <cmath>

namespace sagesan::testing {

Matrix random_matrix(int64_t rows, int64_t columns, uint64_t seed) {
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

Matrix random_inputs(int64_t tokens, int64_t channels, uint64_t seed) {
  Matrix scale = Matrix::Zero(channels, channels);
  for (int64_t i = 0; i < channels; ++i) scale(i, i) = std::pow(i + 1.0, -0.75);
  const Matrix rotation =
      Eigen::HouseholderQR<Matrix>(random_matrix(channels, channels, seed + 1)).householderQ();
  return random_matrix(tokens, channels, seed) * scale * rotation;
}

Spectrum spectrum(const Matrix& symmetric) {
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(symmetric);
  return {solver.eigenvalues(), solver.eigenvectors()};
}

Vector singular_values(const Matrix& m) { return Eigen::JacobiSVD<Matrix>(m).singularValues(); }

Matrix divide(const Matrix& d, const Matrix& system) {
  return system.llt().solve(d.transpose()).transpose();
}

}  // namespace sagesan::testing
