#include "sagesan/spectral/subspace.h"

#include <ATen/ops/full_like.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/mv.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "moment_eigen.h"
#include "sagesan/activations/symmetric_product.h"
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

/// How many of the eigenvalues, on the CPU, are more than rounding: that of a decomposition in
/// float64, and of what `directions`, where they are given, would have of independent channels.
int64_t count_above_rounding(const Tensor& values, int64_t channels, const Tensor& matrix,
                             const Tensor& directions) {
  const auto* value = values.data_ptr<double>();
  Tensor floors = at::full_like(
      values, value[0] * static_cast<double>(channels) * std::numeric_limits<double>::epsilon());
  if (directions.defined()) {
    const Tensor own = at::mv(directions.pow(2).t().to(at::kDouble), matrix.diagonal());
    floors = at::maximum(floors, own.cpu() * kMomentRounding);
  }
  int64_t count = values.numel();
  while (count > 1 && value[count - 1] <= floors.data_ptr<double>()[count - 1]) --count;
  return count;
}

}  // namespace

Spectrum::Spectrum(const SecondMoment& moment, double energy, const std::string& site,
                   double reference_trace)
    : weight_(moment.weight()), channels_(moment.channels()), has_rows_(moment.has_rows()) {
  SAGESAN_ASSERT(moment.count() > 0);
  const StageClock clock("decompose");
  check_active(moment, site);
  Tensor rows;  // float64 [tokens, channels]
  if (has_rows_) rows = moment.rows().to(at::kDouble);
  // Of rows in float64 whatever the share: what they give by way of the Gram matrix loses as many
  // digits again.
  Tensor matrix = has_rows_ ? symmetric_product(rows.t()) : moment.sum();
  EigenPairs eigen = eigen_of_moment(matrix, has_rows_ ? 1 : energy, site);
  values_ = eigen.values.cpu().contiguous();
  vectors_ = std::move(eigen.vectors);
  residual_ = eigen.residual;
  trace_ = matrix.diagonal().sum().item<double>();
  mean_energy_ = (reference_trace > 0 ? reference_trace : trace_) / static_cast<double>(channels_);
  // Less than all of the energy ends among larger ones. Rows are summed in float64.
  const bool is_rounded = energy >= 1 && !has_rows_;
  above_rounding_ =
      count_above_rounding(values_, channels_, matrix, is_rounded ? vectors_ : Tensor());
  if (has_rows_) {
    // What no direction is taken from is part of the root alone, which is float32.
    const int64_t needed = leading_count(energy).first;
    const Tensor rest = vectors_.narrow(1, needed, values_.numel() - needed).to(at::kFloat);
    vectors_ = at::mm(rows.t(), vectors_.narrow(1, 0, needed));
    root_.values = at::cat({vectors_.to(at::kFloat), at::mm(rows.to(at::kFloat).t(), rest)}, 1)
                       .div_(std::sqrt(weight_));
  } else if (values_.numel() < channels_) {
    root_ = root_of_sum(matrix, weight_, site);
  } else {
    const Tensor roots = at::sqrt(eigen.values / weight_);
    root_.values = (vectors_ * roots.to(vectors_.scalar_type())).to(at::kFloat);
  }
}

std::pair<int64_t, double> Spectrum::leading_count(double energy) const {
  const auto* value = values_.data_ptr<double>();
  int64_t rank = 0;
  double held = 0;
  while (rank < above_rounding_ && (rank == 0 || energy >= 1 || held < energy * trace_)) {
    held += value[rank++];
  }
  return {rank, held};
}

Subspace Spectrum::leading(double energy) const {
  SAGESAN_ASSERT(energy > 0 && energy <= 1);
  const auto* value = values_.data_ptr<double>();
  const auto [rank, held] = leading_count(energy);
  const int64_t above = leading_count(1).first;
  std::map<int64_t, double> shares;
  for (const int64_t i : half_octaves(above)) shares[i] = value[i - 1] / trace_;
  shares[rank] = value[rank - 1] / trace_;
  const Tensor kept = values_.narrow(0, 0, rank);
  Tensor directions = vectors_.narrow(1, 0, rank);
  if (has_rows_) directions = directions / at::sqrt(kept).to(directions.device());
  directions = directions.to(at::kFloat).contiguous();
  const bool has_all = has_rows_ || values_.numel() == channels_;
  return {.rank = rank,
          .energy_share = std::min(held / trace_, 1.0),
          .eigenvalue_shares = std::move(shares),
          .mean_energy = mean_energy_ / weight_,
          .residual = residual_,
          .directions = directions,
          .relative_energies = kept / mean_energy_,
          .root = root_,
          .directions_in_root = has_all ? Tensor() : root_.image(directions.t())};
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
  subspace.directions_in_root = subspace.root.image(subspace.directions.t());
  return subspace;
}

}  // namespace sagesan
