#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "sagesan/activations/moments.h"
#include "sagesan/spectral/moment_root.h"
#include "sagesan/support/tensor.h"

namespace sagesan {

/// From so many channels on directions are computed alone where few hold the energy asked.
constexpr int64_t kLeastIteratedChannels = 2048;

/// What the solver needs of S = (1/T) sum_t x_t x_t^T, with S = U diag(l_1 >= ... >= l_d) U^T.
struct Subspace {
  int64_t rank = 0;  ///< k: the smallest r whose l_1 + ... + l_r reach the asked share of trace(S)
  double energy_share = 0;  ///< the share they hold
  /// i -> l_i / trace(S) from l_1 to the last that was computed and is above rounding, about half
  /// an octave apart, and of l_k: to show.
  std::map<int64_t, double> eigenvalue_shares;
  double mean_energy = 0;    ///< of the reference, so that l_i = h_i * mean_energy
  double residual = 0;       ///< relative error of the decomposition, as it was checked
  Tensor directions;         ///< U_k, float32 `[channels, k]`
  Tensor relative_energies;  ///< h_i = l_i * d / trace(S), float64 `[k]` on the CPU
  MomentRoot root;           ///< of S
  /// U_k^T R, float32 `[k, tokens or channels]`; undefined where it is diagonal: the first k
  /// columns of R are then those of U_k, each times the root of its l_i.
  Tensor directions_in_root;
};

/// S with all its directions, decomposed once for several shares of the energy.
class Spectrum {
 public:
  /// Decomposes for shares of at most `energy`, through the T x T Gram matrix where the moment
  /// keeps rows: in float32 where that resolves what holds this share, else in float64. Of the root
  /// of rows what lies behind that share is computed in float32.
  /// `reference_trace` is the raw trace (a sum, not a mean) by which energies are relative, the
  /// moment's own where it is 0: h_i = l_i * d / trace. Throws `Error` that names `site` where the
  /// moment is zero or the decomposition fails its residual check: LAPACK's own `info` is no proof
  /// (OpenBLAS 0.3.21 says success on NaN).
  Spectrum(const SecondMoment& moment, double energy, const std::string& site,
           double reference_trace = 0);

  /// The dominant directions that hold the share `energy`, in (0, the constructor's]; at 1 every
  /// direction with a positive eigenvalue is taken.
  Subspace leading(double energy) const;

 private:
  /// How many values hold the share `energy`, and what they sum to.
  std::pair<int64_t, double> leading_count(double energy) const;

  // Of T S, but for the root, which is that of S.
  double weight_;               ///< T
  Tensor values_;               ///< float64, descending, on the CPU
  int64_t above_rounding_ = 0;  ///< so many of them; a direction taken from rows beyond is noise
  Tensor vectors_;  ///< columns: directions; where there are rows, each times the root of its value
  MomentRoot root_;
  double trace_, mean_energy_, residual_;
  int64_t channels_;
  bool has_rows_;
};

/// `Spectrum(...).leading(energy)`, for who asks once.
Subspace dominant_subspace(const SecondMoment& moment, double energy, const std::string& site,
                           double reference_trace = 0);

/// A control: the same rank, energies and moment with random orthonormal directions instead of U_k,
/// the same for the same `seed`. What a filter gains over it is due to the directions.
Subspace with_random_directions(Subspace subspace, uint64_t seed);

}  // namespace sagesan
