#include "sagesan/spectral/subspace.h"

#include <ATen/ops/linalg_qr.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "sagesan/spectral/moment_matrix.h"
#include "sagesan/spectral/probes.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Relative residual above which a decomposition is refused. Float64 `eigh` reaches 1e-14 to 1e-13.
constexpr double kLargestResidual = 1e-9;

double norm(const Tensor& t) { return std::sqrt(squared_norm(t)); }

struct Eigen {
  Tensor values;   ///< descending, float64
  Tensor vectors;  ///< columns
  double residual;
};

/// Full decomposition of a symmetric float64 matrix, checked by A Z = V L V^T Z and V^T V Z = Z.
Eigen decompose(const Tensor& matrix, const std::string& site) {
  const auto fail = [&](const std::string& reason) {
    throw Error(
        ExitCode::kInternal,
        fmt::format("{}: the eigendecomposition of the second moment failed: {}", site, reason));
  };
  if (!all_finite(matrix)) fail("the moment is not finite");
  Tensor values;
  Tensor vectors;
  try {
    std::tie(values, vectors) = at::linalg_eigh(matrix);
  } catch (const c10::Error&) {
    fail("no convergence");
  }
  values = values.flip(0);
  vectors = vectors.flip(1);
  const Tensor z = probe_vectors(matrix);
  const Tensor coordinates = at::mm(vectors.t(), z);
  const double scale =
      std::max(std::abs(values[0].item<double>()), std::numeric_limits<double>::min());
  const double product =
      norm(at::mm(matrix, z) - at::mm(vectors, values.unsqueeze(1) * coordinates)) /
      (scale * norm(z));
  const double orthogonality = norm(at::mm(vectors, coordinates) - z) / norm(z);
  const double residual = std::max(product, orthogonality);
  if (!(residual <= kLargestResidual)) fail(fmt::format("residual {:.1e}", residual));
  if (values.min().item<double>() < -kLargestResidual * scale)
    fail("it has negative eigenvalues, which no second moment has");
  return {values.clamp_min(0), vectors, residual};
}

/// 1, 2, 3, 4, 6, 8, 12, 16, 24, ... up to `count`, and `count`.
std::vector<int64_t> half_octaves(int64_t count) {
  std::vector<int64_t> result;
  for (int64_t octave = 1; octave < count; octave *= 2) {
    result.push_back(octave);
    if (octave > 1 && octave * 3 / 2 < count) result.push_back(octave * 3 / 2);
  }
  result.push_back(count);
  return result;
}

}  // namespace

double Subspace::response(const Tensor& m) const {
  constexpr int64_t kRows = 8192;
  double result = 0;
  for (int64_t start = 0; start < m.size(0); start += kRows) {
    const Tensor block = m.narrow(0, start, std::min(kRows, m.size(0) - start));
    result += at::mm(block, factor).pow_(2).sum(at::kDouble).item<double>();
  }
  return result;
}

Spectrum::Spectrum(const SecondMoment& moment, const std::string& site, double reference_trace)
    : channels_(moment.channels()) {
  SAGESAN_ASSERT(moment.count() > 0);
  check_active(moment, site);
  const double weight = moment.weight();
  if (moment.has_rows()) rows_ = moment.rows().to(at::kDouble);
  Eigen eigen =
      decompose((rows_.defined() ? at::mm(rows_, rows_.t()) : moment.sum()) / weight, site);
  values_ = eigen.values.cpu().contiguous();
  vectors_ = std::move(eigen.vectors);
  residual_ = eigen.residual;
  trace_ = values_.sum().item<double>();
  mean_energy_ =
      (reference_trace > 0 ? reference_trace / weight : trace_) / static_cast<double>(channels_);
  if (rows_.defined()) {
    factor_ = moment.rows().t() / std::sqrt(weight);
    rows_.div_(std::sqrt(weight));
  } else {
    factor_ = (vectors_ * at::sqrt(eigen.values)).to(at::kFloat);
  }
}

Subspace Spectrum::leading(double energy) const {
  SAGESAN_ASSERT(energy > 0 && energy <= 1);
  const auto* value = values_.data_ptr<double>();
  // Below this an eigenvalue is rounding, and a direction taken from the rows would be noise.
  const double floor =
      value[0] * static_cast<double>(channels_) * std::numeric_limits<double>::epsilon();
  int64_t rank = 0;
  double held = 0;
  while (rank < values_.size(0) && value[rank] > floor &&
         (rank == 0 || energy >= 1 || held < energy * trace_)) {
    held += value[rank++];
  }
  int64_t above = 1;
  while (above < values_.size(0) && value[above] > floor) ++above;
  std::map<int64_t, double> shares;
  for (const int64_t i : half_octaves(above)) shares[i] = value[i - 1] / trace_;
  shares[rank] = value[rank - 1] / trace_;
  const Tensor kept = values_.narrow(0, 0, rank);
  Tensor directions = vectors_.narrow(1, 0, rank);
  if (rows_.defined())
    directions = at::mm(rows_.t(), directions) / at::sqrt(kept).to(rows_.device());
  return {.rank = rank,
          .energy_share = std::min(held / trace_, 1.0),
          .leading_share = value[0] / trace_,
          .eigenvalue_shares = std::move(shares),
          .mean_energy = mean_energy_,
          .residual = residual_,
          .directions = directions.to(at::kFloat).contiguous(),
          .relative_energies = kept / mean_energy_,
          .factor = factor_};
}

Subspace dominant_subspace(const SecondMoment& moment, double energy, const std::string& site,
                           double reference_trace) {
  return Spectrum(moment, site, reference_trace).leading(energy);
}

Subspace with_random_directions(Subspace subspace, uint64_t seed) {
  // Gaussian columns made orthonormal are uniform over all frames.
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  Tensor random = at::empty(subspace.directions.sizes(), at::kDouble);
  auto* value = random.data_ptr<double>();
  for (int64_t i = 0; i < random.numel(); ++i) value[i] = normal(generator);
  const Tensor q = std::get<0>(at::linalg_qr(random));
  subspace.directions = q.to(subspace.directions.device(), at::kFloat).contiguous();
  return subspace;
}

}  // namespace sagesan
