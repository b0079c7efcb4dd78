#include "sagesan/spectral/subspace.h"

#include <ATen/ops/linalg_qr.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "moment_eigen.h"
#include "sagesan/spectral/moment_matrix.h"
#include "sagesan/support/error.h"
#include "sagesan/support/stage_clock.h"

namespace sagesan {
namespace {

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

double Subspace::response(const Tensor& m) const { return response_to(root, m); }

Spectrum::Spectrum(const SecondMoment& moment, double energy, const std::string& site,
                   double reference_trace)
    : channels_(moment.channels()) {
  SAGESAN_ASSERT(moment.count() > 0);
  const StageClock clock("decompose");
  check_active(moment, site);
  const double weight = moment.weight();
  if (moment.has_rows()) rows_ = moment.rows().to(at::kDouble) / std::sqrt(weight);
  // Of rows in float64 whatever the share: what they give by way of the Gram matrix loses as many
  // digits again.
  Tensor matrix = rows_.defined() ? at::mm(rows_, rows_.t()) : moment.sum() / weight;
  EigenPairs eigen = eigen_of_moment(matrix, rows_.defined() ? 1 : energy, site);
  values_ = eigen.values.cpu().contiguous();
  vectors_ = std::move(eigen.vectors);
  residual_ = eigen.residual;
  trace_ = matrix.diagonal().sum().item<double>();
  mean_energy_ =
      (reference_trace > 0 ? reference_trace / weight : trace_) / static_cast<double>(channels_);
  if (rows_.defined()) {
    root_ = root_of_moment(moment, site);
  } else if (values_.numel() < channels_) {
    root_ = root_of_matrix(matrix, site);
  } else {
    matrix = Tensor();  // as large as what comes now
    root_ = (vectors_ * at::sqrt(eigen.values).to(vectors_.scalar_type())).to(at::kFloat);
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
          .eigenvalue_shares = std::move(shares),
          .mean_energy = mean_energy_,
          .residual = residual_,
          .directions = directions.to(at::kFloat).contiguous(),
          .relative_energies = kept / mean_energy_,
          .root = root_};
}

Subspace dominant_subspace(const SecondMoment& moment, double energy, const std::string& site,
                           double reference_trace) {
  return Spectrum(moment, energy, site, reference_trace).leading(energy);
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
