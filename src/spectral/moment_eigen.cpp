#include "moment_eigen.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "sagesan/spectral/probes.h"
#include "sagesan/spectral/subspace.h"
#include "sagesan/support/error.h"
#include "sagesan/support/memory.h"

namespace sagesan {
namespace {

/// Relative residual above which a decomposition is refused. Float64 `eigh` reaches 1e-14 to 1e-13,
/// float32 1e-6.
double largest_residual(at::ScalarType type) { return type == at::kDouble ? 1e-9 : 1e-5; }

/// Of the largest, how far an eigenvalue may lie below zero: the moment itself is rounded.
constexpr double kMostBelowZero = 1e-5;

/// Float32 takes half the time and costs 1e-4 of a sanitized update at most. Smaller matrices are
/// decomposed in float64 at once.
constexpr int64_t kLeastFloatChannels = 256;
/// What float32 leaves out must be, in the mean of its directions, this share of the largest
/// eigenvalue: below it eigenvalues drown in its rounding.
constexpr double kFloatFloor = 1e-5;

/// Where at most one in so many directions is needed, of `kLeastIteratedChannels` or more, these
/// alone are computed: measured, docs/performance.md.
constexpr int64_t kIteratedShare = 10;

double norm(const Tensor& t) { return std::sqrt(squared_norm(t)); }

struct DecompositionError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Full decomposition of a symmetric matrix in its own dtype, checked by A Z = V L V^T Z and V^T V
/// Z = Z. Throws `DecompositionError`.
EigenPairs decompose(const Tensor& matrix) {
  Tensor values;
  Tensor vectors;
  try {
    std::tie(values, vectors) = at::linalg_eigh(matrix);
  } catch (const c10::Error& error) {
    if (says_no_memory(error.what())) throw;
    throw DecompositionError("no convergence");
  }
  values = values.flip(0);
  vectors = vectors.flip(1);
  const Tensor z = probe_vectors(matrix).to(matrix.scalar_type());
  const Tensor coordinates = at::mm(vectors.t(), z);
  const double scale =
      std::max(std::abs(values[0].item<double>()), std::numeric_limits<double>::min());
  const double product =
      norm(at::mm(matrix, z) - at::mm(vectors, values.unsqueeze(1) * coordinates)) /
      (scale * norm(z));
  const double orthogonality = norm(at::mm(vectors, coordinates) - z) / norm(z);
  const double residual = std::max(product, orthogonality);
  const double largest = largest_residual(matrix.scalar_type());
  if (!(residual <= largest)) throw DecompositionError(fmt::format("residual {:.1e}", residual));
  if (values.min().item<double>() < -kMostBelowZero * scale)
    throw DecompositionError("it has negative eigenvalues, which no second moment has");
  return {values.clamp_min(0), vectors, residual};
}

/// Whether float32 tells the directions that hold the share `energy` from the others, of a matrix
/// with trace 1.
bool is_resolved(const Tensor& values, double energy) {
  const Tensor wide = values.to(at::kDouble).cpu();
  const auto* value = wide.data_ptr<double>();
  int64_t rank = 0;
  double held = 0;
  while (rank < wide.numel() && held < energy) held += value[rank++];
  return rank < wide.numel() &&
         1 - held > kFloatFloor * value[0] * static_cast<double>(wide.numel() - rank);
}

[[noreturn]] void fail(const std::string& site, const std::string& reason) {
  throw Error(
      ExitCode::kInternal,
      fmt::format("{}: the eigendecomposition of the second moment failed: {}", site, reason));
}

}  // namespace

EigenPairs eigen_of_moment(const Tensor& matrix, double energy, const std::string& site) {
  if (!all_finite(matrix)) fail(site, "the moment is not finite");
  const int64_t channels = matrix.size(0);
  try {
    if (energy < 1 && channels >= kLeastIteratedChannels) {
      const auto leading = leading_eigen(matrix, energy, channels / kIteratedShare);
      release_all_free_memory();  // many blocks of columns, into which no matrix fits
      if (leading) return *leading;
    }
    if (energy < 1 && channels >= kLeastFloatChannels) {
      const double trace = matrix.diagonal().sum().item<double>();
      // Scaled, so that nothing overflows or vanishes.
      EigenPairs eigen = decompose((matrix / trace).to(at::kFloat));
      if (is_resolved(eigen.values, energy)) {
        eigen.values = eigen.values.to(at::kDouble) * trace;
        return eigen;
      }
    }
  } catch (const DecompositionError&) {
    // Float64 may do better.
  } catch (const c10::Error& error) {
    // Nor did the leading ones converge.
    if (says_no_memory(error.what())) throw;
  }
  try {
    return decompose(matrix);
  } catch (const DecompositionError& error) {
    fail(site, error.what());
  }
}

}  // namespace sagesan
